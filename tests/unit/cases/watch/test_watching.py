"""With a crash at any step, no reminder is lost or sent twice, and no escalation is missing."""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fraudstream.cases.answers.staff import LINK
from fraudstream.cases.events import ALERTED, ESCALATED, MAIL_BOUNCED, MAIL_RESENT, NOTICE_ACCEPTED, REMINDED, CaseEvent
from fraudstream.cases.watch.rules import Limits
from fraudstream.cases.watch.state import CaseState
from fraudstream.cases.watch.watching import watch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lake.rows import batch

CAME = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(10 * HOUR, [0.5], 0.8)


class Killed(BaseException):
    """A crash of the process."""


@dataclass
class World:
    """Topics, mail queue and the staff's inbox, which survive; the process crashes before or after `fatal` steps.

    The queue's reader drops a reminder whose id it has seen, as FirstAnswers does on topic mail_retry.
    """

    answers: dict[str, str] = field(default_factory=dict)
    log: list[CaseEvent] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    told: list[Sequence[str]] = field(default_factory=list)
    fatal: dict[int, str] = field(default_factory=dict)
    step: int = 0

    def _do(self, effect: Callable[[], None]) -> None:
        self.step += 1
        when = self.fatal.get(self.step)
        if when == "before":
            raise Killed
        effect()
        if when == "after":
            raise Killed

    def remind(self, due: Sequence[tuple[CaseState, float, datetime]]) -> list[str]:
        found = [f"{case.id}/reminder-{share:g}" for case, share, _ in due]
        self._do(lambda: self.handed_over.extend(found))
        return found

    def publish(self, events: Sequence[CaseEvent]) -> None:
        if events:
            self._do(lambda: self.log.extend(events))

    def tell(self, counts: Mapping[str, int], cases: Sequence[str]) -> bool:
        self._do(lambda: self.told.append(list(cases)))
        return True

    def cases(self, count: int) -> dict[str, CaseState]:
        found = {f"case-{n}": CaseState(f"case-{n}", CAME, batch([n])) for n in range(count)}
        for event in self.log:
            found[event.id_transaction].happened(event)
        for case, status in self.answers.items():
            found[case].answered(status, LINK, CAME)
        return found

    def look(self, now: datetime, count: int) -> None:
        with contextlib.suppress(Killed):
            watch(self.cases(count), LIMITS, now, self, self, self.tell)

    def of_type(self, event_type: str) -> Counter[str]:
        return Counter(event.id_transaction for event in self.log if event.event_type == event_type)


def world(count: int) -> World:
    """Cases whose notices were accepted at once; the notice of the last one was returned."""
    made = World()
    made.log = [CaseEvent(f"case-{n}", NOTICE_ACCEPTED, "test", at=CAME) for n in range(count)]
    made.log.append(CaseEvent(f"case-{count - 1}", MAIL_BOUNCED, "test", details={"kind": "fraud_notice"}))
    return made


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 4),
    st.dictionaries(st.integers(1, 20), st.sampled_from(["before", "after"]), max_size=6),
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(57, 79),  # each run crashes once at most: by then every reminder has been queued
)
def test_killed_between_any_two_steps_no_reminder_is_lost_or_doubled(
    count: int, fatal: dict[int, str], answering: list[int], answered_at: int
) -> None:
    topics = world(count)
    topics.fatal = fatal
    for tenth in range(100):
        if tenth == answered_at:
            topics.answers |= {f"case-{n}": "REPORTED_FRAUD" for n in answering if n < count}
        topics.look(CAME + tenth * HOUR / 10, count)
    bounced = f"case-{count - 1}"
    expected = {f"case-{n}" for n in range(count - 1)}
    # the mail queue's reader drops what it has seen
    assert {mail.partition("/")[0] for mail in set(topics.handed_over)} == expected
    assert all(mail.endswith("/reminder-0.5") for mail in topics.handed_over)
    assert set(topics.of_type(REMINDED)) == expected
    silent = expected - topics.answers.keys()
    escalated = silent | {bounced}
    assert set(topics.of_type(ESCALATED)) == escalated
    assert set(topics.of_type(ALERTED)) == escalated
    assert {case for mail in topics.told for case in mail} == escalated


def test_undisturbed_everything_happens_once() -> None:
    topics = world(3)
    for tenth in range(100):
        topics.look(CAME + tenth * HOUR / 10, 3)
    assert topics.handed_over == ["case-0/reminder-0.5", "case-1/reminder-0.5"]
    assert topics.told == [["case-2"], ["case-0", "case-1"]], "one mail for all that is new"
    for event_type in (ESCALATED, ALERTED):
        assert topics.of_type(event_type) == {"case-0": 1, "case-1": 1, "case-2": 1}


def test_a_notice_that_was_sent_anew_and_bounces_too_is_told_again() -> None:
    topics = world(1)
    topics.look(CAME + HOUR, 1)
    topics.log.append(CaseEvent("case-0", MAIL_RESENT, "ana", at=CAME + 2 * HOUR))
    topics.look(CAME + 3 * HOUR, 1)
    assert topics.told == [["case-0"]]
    topics.log.append(CaseEvent("case-0", MAIL_BOUNCED, "test", details={"kind": "fraud_notice"}))
    for hour in (4, 5):
        topics.look(CAME + hour * HOUR, 1)
    assert topics.told == [["case-0"]] * 2
    assert topics.of_type(ESCALATED) == topics.of_type(ALERTED) == {"case-0": 2}


def test_without_somebody_to_tell_the_event_is_there_all_the_same_and_is_told_once_there_is() -> None:
    topics = world(1)
    watch(topics.cases(1), LIMITS, CAME + HOUR, topics, topics, lambda counts, cases: False)
    assert topics.of_type(ESCALATED) == {"case-0": 1}
    topics.look(CAME + 2 * HOUR, 1)
    assert topics.told == [["case-0"]]
