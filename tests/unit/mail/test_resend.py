"""Resending fraud notices: which, in what form, and what is reported about the others."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_FAILED, MAIL_RESENT, NOTICE_ACCEPTED, CaseEvent
from fraudstream.cases.undelivered import PlacedEvent, undelivered
from fraudstream.errors import DecisionRefused
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import CASE_EVENT, FRAUD_TRANSACTION, Partition
from fraudstream.mail import resend as module
from fraudstream.mail.letter.letters import Letter
from fraudstream.mail.resend import Cases, read_cases, resend
from fraudstream.settings import Settings

from tests.unit.lake.rows import batch, row

HOUR = timedelta(hours=1)
LIMIT = Settings().confirmation_time_limit
#: The cases' time is up in an hour, or later if a notice was accepted after it.
CAME = datetime.now(UTC).replace(microsecond=0) - LIMIT + HOUR


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The records that are written to the topics, in order."""
    found: list[Any] = []

    class Queue:
        def __init__(self, settings: Settings) -> None: ...

        def send_again(self, letter: Letter) -> None:
            found.append(letter)

    class Events:
        def __init__(self, settings: Settings) -> None: ...

        def publish(self, events: list[CaseEvent]) -> None:
            found.extend(events)

    monkeypatch.setattr(module, "RetryQueue", Queue)
    monkeypatch.setattr(module, "CaseEvents", Events)
    return found


@pytest.fixture
def cases() -> Cases:
    made = Cases()
    for number in range(4):
        partition = Partition(FRAUD_TRANSACTION, 0)
        made.transactions[f"tx-{number}"] = batch(
            [number], rows=[row(number, isFraud=1)], timestamps=[_ms(CAME)], partition=partition
        )
    made.closed = {"tx-3"}
    made.undelivered = {"tx-1": MAIL_FAILED, "tx-2": MAIL_BOUNCED, "tx-3": MAIL_BOUNCED}
    return made


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda cases: cases.chosen({"tx-0", "tx-3"}, [], every=False), ["tx-0"]),
        (lambda cases: cases.chosen((), ["failed"], every=False), ["tx-1"]),
        (lambda cases: cases.chosen((), ["failed", "bounced"], every=False), ["tx-1", "tx-2"]),
        (lambda cases: cases.chosen((), ["suppressed"], every=False), []),
        (lambda cases: cases.chosen((), [], every=True), ["tx-0", "tx-1", "tx-2"]),
    ],
)
def test_cases_with_an_outcome_are_never_chosen(
    cases: Cases, choose: Callable[[Cases], list[str]], expected: list[str]
) -> None:
    assert choose(cases) == expected


def test_a_notice_is_another_mail_about_the_same_case_and_says_who_asked_for_it(
    cases: Cases, written: list[Any]
) -> None:
    without_keys = Settings(confirmation_keys=[])
    first, second = (
        resend(without_keys, cases, ["tx-1"], by="ana", reason="new address", dry_run=False).letters[0]
        for _ in range(2)
    )
    assert first.id_transaction == second.id_transaction == "tx-1"
    assert first.message_id != second.message_id
    assert [type(one) for one in written] == [Letter, CaseEvent] * 2
    event = written[1]
    assert (event.event_type, event.id_transaction, event.by) == (MAIL_RESENT, "tx-1", "ana")
    assert event.reason == "new address"
    assert event.recipient == "C1***@example.com"


@pytest.mark.parametrize("by", ["", " ", "a\nb", "x" * 256])
def test_without_a_name_that_an_event_may_have_nothing_is_sent(cases: Cases, written: list[Any], by: str) -> None:
    with pytest.raises(DecisionRefused, match="expected a user name"):
        resend(Settings(), cases, ["tx-1"], by=by, dry_run=False)
    assert written == []


def test_a_dry_run_writes_nothing(cases: Cases, written: list[Any]) -> None:
    assert len(resend(Settings(), cases, ["tx-1", "tx-2"], by="ana", dry_run=True).letters) == 2
    assert written == []


def test_a_recipient_that_safe_mode_holds_back_is_said_and_not_sent(cases: Cases, written: list[Any]) -> None:
    settings = Settings(mail_allowed_recipients="C2@example.com")
    found = resend(settings, cases, ["tx-1", "tx-2"], by="ana", dry_run=False)
    assert [letter.id_transaction for letter in found.letters] == ["tx-2"]
    assert "safe mode" in found.refused["tx-1"]


def test_a_notice_that_was_accepted_once_has_its_deadline_and_no_later_one(cases: Cases, written: list[Any]) -> None:
    cases.accepted["tx-1"] = CAME + 6 * HOUR
    first, second = resend(Settings(), cases, ["tx-1", "tx-2"], by="ana", dry_run=False).letters
    assert first.until == _ms(CAME + 6 * HOUR + LIMIT)
    # No notice was accepted yet: the time limit starts with this mail.
    assert second.until is None
    assert [one.until for one in written if isinstance(one, Letter)] == [first.until, None]


@pytest.mark.parametrize(
    ("came", "accepted", "ended"),
    [
        (CAME - 2 * HOUR, None, CAME - 2 * HOUR + LIMIT),
        (CAME - 3 * HOUR, CAME - 2 * HOUR, CAME - 2 * HOUR + LIMIT),
        # Accepted after its time was up.
        (CAME - 3 * HOUR, CAME - 2 * HOUR + LIMIT, CAME - 3 * HOUR + LIMIT),
    ],
)
def test_a_case_whose_time_is_up_is_refused(
    cases: Cases, written: list[Any], came: datetime, accepted: datetime | None, ended: datetime
) -> None:
    cases.transactions["tx-1"].timestamps[0] = _ms(came)
    cases.accepted = {} if accepted is None else {"tx-1": accepted}
    found = resend(Settings(), cases, ["tx-1"], by="ana", dry_run=False)
    assert (found.letters, written) == ([], [])
    assert found.refused["tx-1"].startswith(f"its time was up at {ended:%Y-%m-%d %H:%M:%S} UTC")


def test_the_first_notice_that_was_accepted_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        PlacedEvent(CaseEvent("tx-1", event_type, "test", at=CAME + hours * HOUR), Partition(CASE_EVENT, 0), hours)
        for hours, event_type in enumerate((MAIL_FAILED, NOTICE_ACCEPTED, MAIL_RESENT, NOTICE_ACCEPTED))
    ]
    monkeypatch.setattr(module, "records", lambda settings, topic: [])
    monkeypatch.setattr(module, "read_undelivered", lambda settings: undelivered(events))
    monkeypatch.setattr(Codec, "for_topic", lambda topic, settings: None)
    assert read_cases(Settings()).accepted == {"tx-1": CAME + timedelta(hours=1)}
