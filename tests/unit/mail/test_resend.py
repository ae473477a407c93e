"""Fraud notices sent anew: which, as what, and what is said of the others."""

from collections.abc import Callable
from typing import Any

import pytest
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_FAILED, MAIL_RESENT, CaseEvent
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.mail import resend as module
from fraudstream.mail.letter.letters import Letter
from fraudstream.mail.resend import Cases, resend
from fraudstream.settings import Settings

from tests.unit.lake.rows import batch, row


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes to the topics, in its order."""
    found: list[Any] = []

    class Queue:
        def __init__(self, settings: Settings) -> None: ...

        def send_anew(self, letter: Letter) -> None:
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
        made.transactions[f"tx-{number}"] = batch([number], rows=[row(number, isFraud=1)], partition=partition)
    made.closed = {"tx-3"}
    made.events["tx-1"] = {MAIL_FAILED}
    made.events["tx-2"] = {MAIL_BOUNCED, MAIL_RESENT}
    made.events["tx-3"] = {MAIL_BOUNCED}
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


def test_a_dry_run_writes_nothing(cases: Cases, written: list[Any]) -> None:
    assert len(resend(Settings(), cases, ["tx-1", "tx-2"], by="ana", dry_run=True).letters) == 2
    assert written == []


def test_a_recipient_that_safe_mode_holds_back_is_said_and_not_sent(cases: Cases, written: list[Any]) -> None:
    settings = Settings(mail_allowed_recipients="C2@example.com")
    found = resend(settings, cases, ["tx-1", "tx-2"], by="ana", dry_run=False)
    assert [letter.id_transaction for letter in found.letters] == ["tx-2"]
    assert "safe mode" in found.refused["tx-1"]
