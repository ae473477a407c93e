"""Two API servers with their own indexes act on a case at the same time: the order in the log decides."""

import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from fraudstream.cases.answers.publisher import Place
from fraudstream.cases.events import CaseEvent
from fraudstream.desk import actions
from fraudstream.desk.actions import Desk
from fraudstream.desk.case_index import Placed
from fraudstream.settings import Settings

from tests.fakes.desk import EventsOf, FakeDeskViews, ms

SMALL, LARGE = 99_999_999, 100_000_000


class Topics:
    """The log of answers and events; `meanwhile` is an action of the other server during the first one's write."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.answers: list[dict[str, Any]] = []
        self.events: list[CaseEvent] = []
        self.meanwhile: Callable[[], object] | None = None

    def let_the_other_act(self) -> None:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            other = threading.Thread(target=act)
            other.start()
            other.join()


class Server(FakeDeskViews):
    """Reads the log only while it waits for its own record."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics
        topics.servers.append(self)
        self.desk = Desk(Settings(), self, self, EventsOf(self))

    def _append(self, record: dict[str, Any]) -> Place:
        self._topics.let_the_other_act()
        self._topics.answers.append(record)
        return 0, len(self._topics.answers) - 1

    def publish_events(self, events: Iterable[CaseEvent]) -> None:
        self._topics.events += events
        self.read()

    def wait_for_answer(self, partition: int, offset: int, seconds: float) -> None:
        self.read()

    def read(self) -> None:
        for offset, record in enumerate(self._topics.answers):
            self.index.add_answer(record, Placed(0, offset, offset))
        for offset, event in enumerate(self._topics.events):
            self.index.add_event(event.record(), Placed(0, offset, ms(event.at)))

    def in_force(self, case: str) -> tuple[object, object, int]:
        self.read()
        known = self.index.case(case)
        assert known is not None
        outcome = known.history.outcome
        assert outcome is not None
        return outcome.record["decidedBy"], outcome.status, outcome.offset


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    monkeypatch.setattr(actions, "_ONE_AT_A_TIME", nullcontext())  # each process has its own lock
    return Topics()


@pytest.mark.parametrize("outcome_of_ben", ["REPORTED_FRAUD", "REPORTED_NOT_FRAUD"])
def test_of_two_decisions_at_once_both_are_kept_and_the_later_one_in_the_log_is_in_force_everywhere(
    topics: Topics, outcome_of_ben: str
) -> None:
    one, other = Server(topics), Server(topics)
    for server in (one, other):
        server.add("case-1", amount=SMALL)
    topics.meanwhile = lambda: other.desk.decide(["case-1"], outcome_of_ben, by="ben", reason="called him")
    one.desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="called her")
    assert [(answer["decidedBy"], answer["status"]) for answer in topics.answers] == [
        ("ben", outcome_of_ben),
        ("ana", "REPORTED_FRAUD"),
    ]
    assert one.in_force("case-1") == other.in_force("case-1") == ("ana", "REPORTED_FRAUD", 1)


def test_a_double_click_that_reaches_two_servers_has_the_outcome_of_one_click(topics: Topics) -> None:
    one, other = Server(topics), Server(topics)
    for server in (one, other):
        server.add("case-1", amount=SMALL)

    def click(server: Server) -> dict[str, str]:
        return server.desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="called").done

    topics.meanwhile = lambda: click(other)
    click(one)
    assert one.in_force("case-1") == other.in_force("case-1") == ("ana", "REPORTED_FRAUD", 1)
    assert "offset 1 " in click(other)["case-1"]
    assert len(topics.answers) == 2, "whoever sees it writes it no third time"


def test_a_request_that_two_people_confirm_at_once_is_in_force_once_and_by_nobody_alone(topics: Topics) -> None:
    one, other = Server(topics), Server(topics)
    for server in (one, other):
        server.add("case-1", amount=LARGE)
    one.desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="called")
    other.read()
    request = str(topics.events[0].details["request"])
    topics.meanwhile = lambda: other.desk.confirm("case-1", request, by="cleo")
    assert "own" in other.desk.confirm("case-1", request, by="ana").refused["case-1"]
    assert one.desk.confirm("case-1", request, by="ben").refused == {}
    assert one.in_force("case-1") == other.in_force("case-1") == ("ana", "REPORTED_FRAUD", 1)
    assert "confirmed already" in other.desk.confirm("case-1", request, by="ben").refused["case-1"]
    assert len(topics.answers) == 2
