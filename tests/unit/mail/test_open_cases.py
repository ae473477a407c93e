"""A notice of a closed case isn't sent, neither late nor as a reminder; a new notice needs no look-up of answers."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fraudstream.cases.answers.first_answer_sink import Place
from fraudstream.cases.events import MAIL_FAILED, NOTICE_ACCEPTED, CaseEvent
from fraudstream.cases.watch.state import CaseState
from fraudstream.kafka.records import Batch
from fraudstream.mail import follow_up, reminders
from fraudstream.mail.follow_up import FollowUp
from fraudstream.mail.letter.letters import Letter, LetterWriter, is_reminder
from fraudstream.mail.open_cases import OpenCasesOnly
from fraudstream.mail.reminders import Reminders
from fraudstream.settings import Settings

from tests.unit.lake.rows import MIDNIGHT_MS, batch, row
from tests.unit.mail.bench import FRAUD, Links

MIDNIGHT = MIDNIGHT_MS / 1000


class Answers:
    """The cases that have an answer."""

    def __init__(self, *cases: str) -> None:
        self.cases = set(cases)
        self.looks = 0
        self.closed = False

    def catch_up(self) -> None:
        self.looks += 1

    def first_place(self, case: str) -> Place | None:
        assert self.looks, "what isn't read yet says nothing"
        return (1, 0, 0) if case in self.cases else None

    def close(self) -> None:
        self.closed = True


def frauds(count: int) -> Batch:
    return batch(range(count), rows=[row(n, isFraud=1) for n in range(count)], partition=FRAUD)


def only_open(answers: Answers, now: float) -> OpenCasesOnly:
    return OpenCasesOnly(LetterWriter(Settings(), Links()), lambda: answers, lambda: now)


def test_a_late_notice_of_a_case_with_an_outcome_is_not_sent() -> None:
    answers = Answers("tx-1")
    writer = only_open(answers, MIDNIGHT + 31)
    letters = writer.letters(frauds(3))
    assert [letter.mail.status for letter in letters] == ["", "over", ""]
    assert letters[1].mail.reply == "not sent: the case has an outcome"
    writer.letters(frauds(1))
    assert answers.looks == 2, "each piece looks anew"
    writer.close()
    assert answers.closed


def test_a_notice_of_a_broker_whose_clock_was_ahead_is_not_sent_either_once_its_case_is_over() -> None:
    writer = only_open(Answers("tx-0"), MIDNIGHT - 3600)
    assert [letter.mail.status for letter in writer.letters(frauds(1))] == ["over"]


def test_a_fresh_notice_and_other_mails_are_sent_without_a_look() -> None:
    answers = Answers("tx-0")
    writer = only_open(answers, MIDNIGHT + 29)
    assert [letter.mail.status for letter in writer.letters(frauds(1))] == [""]
    assert [letter.mail.status for letter in only_open(answers, MIDNIGHT + 3600).letters(batch([0]))] == [""]
    assert answers.looks == 0


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[CaseEvent]:
    found: list[CaseEvent] = []

    class Events:
        def __init__(self, settings: Settings) -> None: ...

        def publish(self, published: list[CaseEvent]) -> None:
            found.extend(published)

    monkeypatch.setattr(follow_up, "CaseEvents", Events)
    return found


def settled(status: str, resend: str = "") -> list[Letter]:
    (letter,) = LetterWriter(Settings(), Links()).letters(frauds(1), resend)
    letter.mail.status = status
    return [letter]


@pytest.mark.parametrize(
    ("status", "resend", "said"),
    [
        ("sent", "", [NOTICE_ACCEPTED]),
        ("sent", "resend-1", [NOTICE_ACCEPTED]),
        ("sent", "reminder-0.5", []),
        ("failed", "reminder-0.5", [MAIL_FAILED]),
        ("over", "", []),
    ],
)
def test_an_accepted_notice_is_an_event_and_a_reminder_none(
    events: list[CaseEvent], status: str, resend: str, said: list[str]
) -> None:
    FollowUp(Settings()).done(settled(status, resend))
    assert [event.event_type for event in events] == said


def test_a_reminder_has_the_case_s_deadline_and_the_same_id_at_each_try(
    monkeypatch: pytest.MonkeyPatch, make_queue: Callable[[], list[Letter]]
) -> None:
    queued = make_queue()
    until = datetime(2026, 3, 10, 12, tzinfo=UTC)
    case = CaseState("tx-0", datetime(2023, 10, 7, tzinfo=UTC), frauds(1))
    first = Reminders(Settings()).remind([(case, 0.5, until)])
    assert Reminders(Settings()).remind([(case, 0.5, until)]) == first
    assert Reminders(Settings()).remind([(case, 0.75, until)]) != first
    assert {is_reminder(letter.resend) for letter in queued} == {True}
    written = LetterWriter(Settings(), Links()).letters(queued[0].about, queued[0].resend, queued[0].until)
    assert [letter.message_id for letter in written] == first
    content = written[0].mail.content
    assert b"Subject: Reminder: did you make this payment?" in content
    assert b"10 March 2026, 12:00 UTC" in content


@pytest.fixture
def make_queue(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Letter]]:
    def make() -> list[Letter]:
        queued: list[Letter] = []

        class Queue:
            def __init__(self, settings: Settings) -> None: ...

            def send_again(self, *letters: Letter) -> None:
                queued.extend(letters)

        monkeypatch.setattr(reminders, "RetryQueue", Queue)
        return queued

    return make
