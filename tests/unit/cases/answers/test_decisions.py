"""Staff decisions: their conditions, that a repeated call writes no decision twice, and the four-eyes principle."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fraudstream.cases import __main__ as command
from fraudstream.cases.answers import decisions
from fraudstream.cases.answers.decisions import Decided, checked, confirm_case, decide_case, needs_second_person
from fraudstream.cases.answers.publisher import DecidedBy
from fraudstream.cases.answers.staff import LINK, STAFF, TIMEOUT, counting
from fraudstream.cases.events import DECISION_CONFIRMED, DECISION_REQUESTED, CaseEvent
from fraudstream.cases.history import CaseHistory
from fraudstream.errors import AnswerUnknown, DecisionRefused
from fraudstream.settings import Settings

from tests.fakes.cases import FakeAnswers, transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANA = DecidedBy("ana", "the customer called")


class Events:
    """Topic case_event in memory; `refuse` is an error that publishing raises instead of writing."""

    def __init__(self) -> None:
        self.log: list[CaseEvent] = []
        self.refuse: Exception | None = None

    def publish(self, events: list[CaseEvent]) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.log += events


def history(answers: FakeAnswers, events: list[CaseEvent] | None = None) -> CaseHistory:
    return CaseHistory(transaction(), list(answers.log), list(events or []))


@pytest.mark.parametrize(
    ("channels", "place"),
    [
        ([], None),
        ([LINK, LINK, TIMEOUT], 0),
        ([None, LINK], 0),
        ([TIMEOUT, STAFF], 1),
        ([STAFF, LINK], 0),
        ([LINK, STAFF, LINK, STAFF, TIMEOUT], 3),
    ],
)
def test_the_last_decision_counts_otherwise_the_first_answer(channels: list[str | None], place: int | None) -> None:
    assert counting(channels) == place


def test_a_decision_carries_name_and_reason_and_says_what_it_supersedes() -> None:
    answers = FakeAnswers()
    asyncio.run(answers.publish("REPORTED_NOT_FRAUD", transaction(), NOW))
    made = decide_case(history(answers), "REPORTED_FRAUD", ANA, answers)
    assert made == Decided((0, 1), "REPORTED_NOT_FRAUD")
    record = answers.log[1].record
    assert [record[name] for name in ("status", "channel", "decidedBy", "reason")] == [
        "REPORTED_FRAUD",
        "STAFF",
        "ana",
        "the customer called",
    ]


def test_the_same_decision_again_writes_nothing_and_another_one_does() -> None:
    answers = FakeAnswers()
    decide_case(history(answers), "REPORTED_FRAUD", ANA, answers)
    assert decide_case(history(answers), "REPORTED_FRAUD", ANA, answers) == Decided((0, 0), None, written=False)
    decide_case(history(answers), "REPORTED_NOT_FRAUD", DecidedBy("bo", "was his own"), answers)
    decide_case(history(answers), "REPORTED_FRAUD", ANA, answers)
    assert [answer.status for answer in answers.log] == ["REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "REPORTED_FRAUD"]


@pytest.mark.parametrize("written", [False, True])
def test_an_unacknowledged_decision_is_on_the_topic_once_after_the_call_is_repeated(written: bool) -> None:
    answers = FakeAnswers()

    class Lossy:
        async def publish(self, *arguments: Any) -> Any:
            if written:
                await answers.publish(*arguments)
            raise AnswerUnknown("no acknowledgement")

    with pytest.raises(AnswerUnknown):
        decide_case(history(answers), "REPORTED_FRAUD", ANA, Lossy())
    decide_case(history(answers), "REPORTED_FRAUD", ANA, answers)
    assert len(answers.log) == 1


@pytest.mark.parametrize(
    ("outcome", "by", "reason", "said"),
    [
        ("NO_RESPONSE", "ana", "x", "expected one of REPORTED_FRAUD, REPORTED_NOT_FRAUD"),
        ("REPORTED_FRAUD", " ", "x", "expected a user name"),
        ("REPORTED_FRAUD", "ana\nbo", "x", "expected a user name"),
        ("REPORTED_FRAUD", "é" * 128, "x", "1 to 255 bytes"),
        ("REPORTED_FRAUD", "ana\udce9", "x", "expected a user name"),
        ("REPORTED_FRAUD", "ana", " \n", "the reason has 0 characters"),
        ("REPORTED_FRAUD", "ana", "x" * 2_001, "the reason has 2001 characters"),
        ("REPORTED_FRAUD", "ana", "a\0b", "without NUL"),
        ("REPORTED_FRAUD", "ana", "caf\udce9", "of Unicode"),
    ],
)
def test_a_decision_without_outcome_name_or_reason_is_refused(outcome: str, by: str, reason: str, said: str) -> None:
    with pytest.raises(DecisionRefused, match=said):
        checked(outcome, by, reason)


def test_the_longest_name_and_reason_are_taken() -> None:
    assert checked("REPORTED_FRAUD", " " + "é" * 127 + "a", "x" * 2_000)[1] == DecidedBy("é" * 127 + "a", "x" * 2_000)


class TestFourEyes:
    def requested(self) -> CaseEvent:
        details = {"request": "r1", "outcome": "REPORTED_FRAUD"}
        return CaseEvent("case-1", DECISION_REQUESTED, "ana", "the customer called", details=details)

    def test_another_person_confirms_and_the_decision_is_the_requesters(self) -> None:
        answers, events = FakeAnswers(), Events()
        confirm_case(history(answers, [self.requested()]), "r1", "bo", answers, events)
        assert [answers.log[0].record[name] for name in ("channel", "decidedBy")] == ["STAFF", "ana"]
        (event,) = events.log
        assert (event.event_type, event.by, event.details["requestedBy"]) == (DECISION_CONFIRMED, "bo", "ana")

    @pytest.mark.parametrize(
        ("requester", "identifier", "by", "said"),
        [("ana", "r1", "ana", "own"), ("ana ", "r1", "ana ", "own"), ("ana", "r2", "bo", "no request 'r2'")],
    )
    def test_nobody_confirms_an_own_or_unknown_request(
        self, requester: str, identifier: str, by: str, said: str
    ) -> None:
        answers, events = FakeAnswers(), Events()
        with pytest.raises(DecisionRefused, match=said):
            confirm_case(history(answers, [replace(self.requested(), by=requester)]), identifier, by, answers, events)
        assert answers.log == events.log == []

    def test_a_later_request_replaces_an_earlier_one(self) -> None:
        answers, events = FakeAnswers(), Events()
        later = replace(self.requested(), by="cy", details={"request": "r2", "outcome": "REPORTED_NOT_FRAUD"})
        both = [self.requested(), later]
        with pytest.raises(DecisionRefused, match="replaced by a later one of cy, r2"):
            confirm_case(history(answers, both), "r1", "bo", answers, events)
        confirm_case(history(answers, both), "r2", "bo", answers, events)
        assert [answer.status for answer in answers.log] == ["REPORTED_NOT_FRAUD"]
        with pytest.raises(DecisionRefused, match="replaced by a later one"):
            confirm_case(history(answers, [*both, *events.log]), "r1", "bo", answers, events)

    def test_a_request_is_confirmed_once_also_when_the_event_is_lost_in_between(self) -> None:
        answers, events = FakeAnswers(), Events()
        events.refuse = OSError("killed here")
        with pytest.raises(OSError, match="killed"):
            confirm_case(history(answers, [self.requested()]), "r1", "bo", answers, events)
        events.refuse = None
        confirm_case(history(answers, [self.requested()]), "r1", "bo", answers, events)
        assert (len(answers.log), len(events.log)) == (1, 1)
        with pytest.raises(DecisionRefused, match="confirmed already"):
            confirm_case(history(answers, [self.requested(), *events.log]), "r1", "cy", answers, events)


def test_the_command_says_where_the_decision_lies_and_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = FakeAnswers()
    monkeypatch.setattr(command, "get_settings", Settings)
    monkeypatch.setattr(decisions, "read_history", lambda settings, case: history(answers))
    monkeypatch.setattr(decisions, "shared_publisher", lambda settings: answers)
    arguments = ["decide", "case-1", "--outcome", "REPORTED_FRAUD", "--by", "ana", "--reason"]
    assert command.main([*arguments, "called"]) == 0
    assert (
        capsys.readouterr().out == "case case-1 is REPORTED_FRAUD: partition 0, offset 0 of topic fraud_confirmation\n"
    )
    assert command.main([*arguments, "called"]) == 0
    assert "is there already" in capsys.readouterr().out
    assert command.main([*arguments, " "]) == 1
    assert "the reason has 0 characters" in capsys.readouterr().err
    assert len(answers.log) == 1


@pytest.mark.parametrize(("minor", "two"), [(99_999_999, False), (100_000_000, True), (10**11, True)])
def test_from_the_settings_amount_on_a_decision_takes_two_people(minor: int, two: bool) -> None:
    assert needs_second_person(Settings(), transaction(amount=minor)) is two


def test_the_command_refuses_a_case_that_takes_two_people_and_says_where_they_decide_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = FakeAnswers()
    monkeypatch.setattr(command, "get_settings", Settings)
    large = CaseHistory(transaction(amount=100_000_000))
    monkeypatch.setattr(decisions, "read_history", lambda settings, case: large)
    monkeypatch.setattr(decisions, "shared_publisher", lambda settings: answers)
    assert command.main(["decide", "case-1", "--outcome", "REPORTED_FRAUD", "--by", "ana", "--reason", "called"]) == 1
    said = capsys.readouterr().err
    for words in ("1,000,000.00", "FRAUDSTREAM_DESK_SECOND_PERSON_AMOUNT", "takes two people", "page Cases"):
        assert words in said
    assert answers.log == []
