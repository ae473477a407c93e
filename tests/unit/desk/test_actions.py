"""Each action of a user at the desk writes a record with name and reason, or nothing."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fraudstream.cases.answers.publisher import Place
from fraudstream.cases.events import (
    ASSIGNED,
    DECISION_CONFIRMED,
    DECISION_REQUESTED,
    MAIL_RESENT,
    NOTE,
    NOTICE_ACCEPTED,
)
from fraudstream.desk import actions
from fraudstream.desk.actions import MOST_CASES, Desk
from fraudstream.errors import DecisionRefused, KafkaUnavailable
from fraudstream.mail.resend import Cases, Resent
from fraudstream.settings import Settings

from tests.fakes.desk import EventsOf, FakeDeskViews

SMALL, LARGE = 99_999_999, 100_000_000


@pytest.fixture
def views() -> FakeDeskViews:
    return FakeDeskViews()


@pytest.fixture
def desk(views: FakeDeskViews) -> Desk:
    return Desk(Settings(), views, views, EventsOf(views))


def test_a_decision_is_an_answer_in_the_topic_in_the_name_of_who_made_it(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=SMALL)
    done = desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="She called.")
    assert done.done == {"case-1": "decided: partition 0, offset 0 of topic fraud_confirmation"}
    (answer,) = views.answers
    assert {name: answer[name] for name in ("idTransaction", "status", "channel", "decidedBy", "reason")} == {
        "idTransaction": "case-1",
        "status": "REPORTED_FRAUD",
        "channel": "STAFF",
        "decidedBy": "ana",
        "reason": "She called.",
    }
    assert answer["amount"] == SMALL


def test_an_answer_can_be_corrected(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=SMALL)
    views.answer("case-1", "REPORTED_FRAUD")
    desk.decide(["case-1"], "REPORTED_NOT_FRAUD", by="ana", reason="wrong button")
    known = views.index.case("case-1")
    assert known is not None
    assert (known.queued.state, known.queued.outcome) == ("decided", "REPORTED_NOT_FRAUD")


def test_from_the_settings_amount_on_another_person_has_to_confirm(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=LARGE)
    assert desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="called").done == {
        "case-1": "waits for a second person"
    }
    assert views.answers == []
    (event,) = views.events
    assert (event.event_type, event.by, event.details["outcome"]) == (DECISION_REQUESTED, "ana", "REPORTED_FRAUD")
    request = str(event.details["request"])
    assert "own" in desk.confirm("case-1", request, by="ana").refused["case-1"]
    assert "no request" in desk.confirm("case-1", "forged", by="ben").refused["case-1"]
    assert views.answers == []
    assert desk.confirm("case-1", request, by="ben").refused == {}
    (answer,) = views.answers
    assert (answer["decidedBy"], answer["reason"]) == ("ana", "called")
    assert [(event.event_type, event.by) for event in views.events][1:] == [(DECISION_CONFIRMED, "ben")]
    assert "confirmed already" in desk.confirm("case-1", request, by="cleo").refused["case-1"]


class SlowPublisher:
    """While the first answer is being published, another request arrives and gets time to run."""

    def __init__(self, views: FakeDeskViews, other: Callable[[], object]) -> None:
        self._views = views
        self.other = threading.Thread(target=other)

    async def publish(self, *arguments: Any) -> Place:
        if self.other.ident is None:
            self.other.start()
            self.other.join(0.3)
        return await self._views.publish(*arguments)


def test_a_button_that_is_pressed_twice_at_once_decides_once(views: FakeDeskViews) -> None:
    views.add("case-1", amount=SMALL)

    def request() -> object:
        desk = Desk(Settings(), views, publisher, EventsOf(views))
        return desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="She called.")

    publisher = SlowPublisher(views, request)
    request()
    publisher.other.join()
    assert len(views.answers) == 1


def test_a_request_that_is_confirmed_twice_at_once_counts_once(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=LARGE)
    desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="called")
    request = str(views.events[0].details["request"])

    def confirm() -> object:
        return Desk(Settings(), views, publisher, EventsOf(views)).confirm("case-1", request, by="ben")

    publisher = SlowPublisher(views, confirm)
    confirm()
    publisher.other.join()
    assert len(views.answers) == 1
    assert [event.event_type for event in views.events] == [DECISION_REQUESTED, DECISION_CONFIRMED]


def test_several_cases_are_decided_at_once_each_by_its_own_amount(views: FakeDeskViews, desk: Desk) -> None:
    views.add("small", amount=SMALL)
    views.add("large", amount=LARGE)
    done = desk.decide(["small", "forged", "large", "small"], "REPORTED_FRAUD", by="ana", reason="campaign")
    assert list(done.done) == ["small", "large"]
    assert list(done.refused) == ["forged"]
    assert "no case of the last weeks" in done.refused["forged"]
    assert [answer["idTransaction"] for answer in views.answers] == ["small"]


def test_notes_and_assignments_are_events(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1")
    desk.note(["case-1"], by="ana", reason="asked the branch")
    desk.assign(["case-1"], "ben", by="ana", reason="knows the customer")
    assert [(e.event_type, e.by, e.reason, dict(e.details)) for e in views.events] == [
        (NOTE, "ana", "asked the branch", {}),
        (ASSIGNED, "ana", "knows the customer", {"assignee": "ben"}),
    ]
    known = views.index.case("case-1")
    assert known is not None
    assert known.queued.assignee == "ben"
    desk.note(["case-1"], by="ana", reason="asked the branch")
    known = views.index.case("case-1")
    assert known is not None
    assert [event.event_type for event in known.history.events] == [NOTE, ASSIGNED, NOTE]
    desk.assign(["case-1"], "", by="ben", reason="on holiday")
    known = views.index.case("case-1")
    assert known is not None
    assert known.queued.assignee == ""


@pytest.mark.parametrize(
    ("by", "reason", "said"),
    [
        *(("ana", reason, "reason") for reason in ("", "   ", "x" * 2001, "a\0b")),
        *((by, "called", "person") for by in ("", " ", "a\nb", "x" * 256)),
    ],
)
def test_without_a_usable_reason_and_name_nothing_is_done(
    views: FakeDeskViews, desk: Desk, by: str, reason: str, said: str
) -> None:
    views.add("case-1", amount=SMALL)
    for act in (
        lambda: desk.decide(["case-1"], "REPORTED_FRAUD", by=by, reason=reason),
        lambda: desk.note(["case-1"], by=by, reason=reason),
        lambda: desk.assign(["case-1"], "ben", by=by, reason=reason),
        lambda: desk.send_again(["case-1"], by=by, reason=reason),
    ):
        with pytest.raises(DecisionRefused, match=said):
            act()
    assert (views.answers, views.events) == ([], [])


def test_what_is_no_outcome_and_too_many_or_no_cases_are_refused(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=SMALL)
    with pytest.raises(DecisionRefused, match="outcome is 'NO_RESPONSE'"):
        desk.decide(["case-1"], "NO_RESPONSE", by="ana", reason="r")
    for ids in ([], ["case-1"] * (MOST_CASES + 1)):
        with pytest.raises(DecisionRefused, match="expected 1 to"):
            desk.note(ids, by="ana", reason="r")
    assert (views.answers, views.events) == ([], [])


def test_brokers_that_are_away_refuse_each_case_in_words(views: FakeDeskViews, desk: Desk) -> None:
    views.add("case-1", amount=SMALL)
    views.refuse = KafkaUnavailable("no broker answers")
    assert desk.decide(["case-1"], "REPORTED_FRAUD", by="ana", reason="r").refused == {"case-1": "no broker answers"}
    assert desk.note(["case-1"], by="ana", reason="r").refused == {"case-1": "no broker answers"}


def test_a_notice_is_sent_again_for_open_cases_only(
    views: FakeDeskViews, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def resend(settings: Settings, cases: Cases, chosen: list[str], **options: Any) -> Resent:
        (case,) = chosen
        rows = cases.transactions[case].rows.to_pylist()
        asked.append({"case": rows[0]["idTransaction"], "accepted": cases.accepted, **options})
        views.event(case, MAIL_RESENT, options["by"], options["reason"], kind="fraud_notice")
        return Resent([], {})

    monkeypatch.setattr(actions, "resend", resend)
    views.add("open")
    views.event("open", NOTICE_ACCEPTED, messageId="<1@bank.example>")
    views.event("open", NOTICE_ACCEPTED, messageId="<2@bank.example>")
    known = views.index.case("open")
    assert known is not None
    accepted = known.history.events[0].at
    views.add("closed")
    views.answer("closed", "REPORTED_FRAUD")
    done = desk.send_again(["open", "closed"], by="ana", reason="new address")
    assert asked == [
        {"case": "open", "accepted": {"open": accepted}, "by": "ana", "reason": "new address", "dry_run": False}
    ]
    assert list(done.done) == ["open"]
    assert "has an outcome" in done.refused["closed"]


def test_notices_of_several_cases_are_sent_with_one_call_and_an_error_names_those_that_are_not_queued(
    views: FakeDeskViews, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def resend(settings: Settings, cases: Cases, chosen: list[str], **options: Any) -> Resent:
        calls.append(chosen)
        views.event("case-0", MAIL_RESENT, options["by"], options["reason"], kind="fraud_notice")
        raise KafkaUnavailable("the brokers don't answer")

    monkeypatch.setattr(actions, "resend", resend)
    for number in range(3):
        views.add(f"case-{number}")
    done = desk.send_again(["case-0", "case-1", "case-0", "case-2"], by="ana", reason="new address")
    assert calls == [["case-0", "case-1", "case-2"]]
    assert list(done.done) == ["case-0"]
    assert done.refused == dict.fromkeys(["case-1", "case-2"], "the brokers don't answer")
    with pytest.raises(DecisionRefused, match="0 cases are chosen"):
        desk.send_again([], by="ana", reason="x")
