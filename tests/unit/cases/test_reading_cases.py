"""Cases read from their topics: one case completely, and the states of the cases of the last days."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.cases import history, undelivered
from fraudstream.cases.answers.publisher import DecidedBy
from fraudstream.cases.events import (
    MAIL_BOUNCED,
    MAIL_FAILED,
    MAIL_RESENT,
    NOTE,
    NOTICE_ACCEPTED,
    REMINDED,
    CaseEvent,
)
from fraudstream.cases.history import read_history
from fraudstream.cases.undelivered import read_undelivered
from fraudstream.cases.watch import state
from fraudstream.cases.watch.state import read_states
from fraudstream.errors import UnknownCase
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.mail import resend
from fraudstream.mail.resend import read_cases
from fraudstream.settings import Settings

from tests.fakes.cases import answered, transaction

TOPICS = (FRAUD_TRANSACTION, FRAUD_CONFIRMATION, CASE_EVENT)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MS = int(NOON.timestamp() * 1000)


class Registry:
    """Knows the topics' own schemas."""

    def identifier(self, topic: str, schema: str) -> int:
        return TOPICS.index(topic) + 1

    def schema(self, identifier: int, topic: str) -> RegisteredSchema:
        return RegisteredSchema(schema_text(TOPICS[identifier - 1]))


class Message:
    """A record of a topic; its time is its position in the order of all records."""

    def __init__(self, key: str, value: bytes, time: int, partition: int, offset: int) -> None:
        self._key, self._value, self._time = key.encode(), value, time
        self._place = partition, offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, self._time

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]


class Log:
    """Topics of two partitions in memory; `reading` has the time from which each topic was last read."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = {topic: [] for topic in TOPICS}
        self.reading: dict[str, datetime | None] = {}
        self._time = MS

    def write(self, topic: str, key: str, record: dict[str, Any], partition: int = 0) -> None:
        value = Codec(topic, Registry()).encode(record)  # type: ignore[arg-type]
        self._time += 1_000
        self.messages[topic].append(Message(key, value, self._time, partition, len(self.messages[topic])))

    def case(self, case: str) -> None:
        self.write(FRAUD_TRANSACTION, "C1231006815", transaction(case))

    def answer(self, case: str, status: Any, decided: DecidedBy | None = None, partition: int = 0) -> None:
        self.write(FRAUD_CONFIRMATION, case, answered(transaction(case), status, NOON, decided), partition)

    def event(self, case: str, event_type: str, partition: int = 0, **details: Any) -> None:
        event = CaseEvent(case, event_type, "test", "why", details=details, at=NOON)
        self.write(CASE_EVENT, case, event.record(), partition)

    def records(self, settings: Settings, topic: str, since: datetime | None = None) -> Iterator[Message]:
        self.reading[topic] = since
        # The partition with the higher number comes first: readers must order by time themselves.
        yield from sorted(self.messages[topic], key=lambda message: -message.partition())


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    codecs = SimpleNamespace(for_topic=lambda topic, settings: Codec(topic, Registry()))  # type: ignore[arg-type]
    for module in (history, resend, state, undelivered):
        monkeypatch.setattr(module, "records", made.records)
        monkeypatch.setattr(module, "Codec", codecs)
    return made


def test_a_history_has_all_of_its_case_and_nothing_of_others(log: Log) -> None:
    for case in ("case-1", "case-2"):
        log.case(case)
        log.event(case, NOTE)
        log.answer(case, "REPORTED_FRAUD", partition=1)
    log.answer("case-1", "REPORTED_NOT_FRAUD", DecidedBy("ana", "called"))
    log.answer("case-1", "REPORTED_FRAUD")
    found = read_history(Settings(), "case-1")
    assert found.transaction["idTransaction"] == "case-1"
    assert [answer.record["channel"] for answer in found.answers] == ["LINK", "STAFF", "LINK"]
    assert found.outcome is not None
    assert (found.outcome.status, found.outcome.record["decidedBy"]) == ("REPORTED_NOT_FRAUD", "ana")
    assert [(event.event_type, event.reason, event.at) for event in found.events] == [(NOTE, "why", NOON)]


def test_a_case_that_is_not_there_is_unknown(log: Log) -> None:
    log.case("case-10")
    with pytest.raises(UnknownCase, match="'case-1'"):
        read_history(Settings(), "case-1")


def test_states_are_those_of_the_cases_that_came_since(log: Log) -> None:
    for case in ("case-1", "case-2", "case-3"):
        log.case(case)
    log.event("case-1", NOTICE_ACCEPTED, messageId="<1>")
    log.event("case-1", REMINDED, share=0.5)
    log.event("case-2", MAIL_BOUNCED, kind="fraud_notice")
    log.event("gone", NOTE)
    log.answer("case-3", "REPORTED_FRAUD", partition=1)
    log.answer("case-3", "REPORTED_NOT_FRAUD")
    log.answer("gone", "REPORTED_FRAUD")
    found = read_states(Settings(), NOON)
    assert set(log.reading.values()) == {NOON}
    assert sorted(found) == ["case-1", "case-2", "case-3"]
    assert (found["case-1"].accepted_at, found["case-1"].reminded, found["case-1"].open) == (NOON, 0.5, True)
    assert found["case-1"].came_at == datetime.fromtimestamp(MS / 1000 + 1, UTC)
    assert found["case-1"].record.rows["idTransaction"].to_pylist() == ["case-1"]
    record = found["case-2"].record
    assert (record.partition, record.offsets.tolist(), record.next_offset) == (Partition(FRAUD_TRANSACTION, 0), [1], 2)
    assert [timestamp / 1000 for timestamp in record.timestamps] == [found["case-2"].came_at.timestamp()]
    assert found["case-2"].undelivered is not None
    assert found["case-3"].statuses == ["REPORTED_FRAUD", "REPORTED_NOT_FRAUD"]


def test_a_notice_is_sent_anew_for_what_became_of_the_last_one(log: Log) -> None:
    for number in range(1, 7):
        log.case(f"case-{number}")
    notice = {"kind": "fraud_notice"}
    log.event("case-1", MAIL_FAILED, **notice)
    log.event("case-2", MAIL_FAILED, **notice)
    log.event("case-2", MAIL_RESENT, **notice)
    log.event("case-2", NOTICE_ACCEPTED, **notice)
    log.event("case-3", MAIL_FAILED, **notice)
    log.event("case-3", MAIL_RESENT, **notice)
    log.event("case-3", MAIL_BOUNCED, **notice)
    log.event("case-4", MAIL_FAILED, kind="receipt")
    log.event("case-5", MAIL_FAILED, **notice)
    log.answer("case-5", "REPORTED_FRAUD")
    log.event("case-6", MAIL_FAILED, **notice)
    log.event("case-6", MAIL_RESENT, partition=1, **notice)
    cases = read_cases(Settings())
    assert cases.chosen((), ["failed"], every=False) == ["case-1"]
    assert cases.chosen((), ["bounced"], every=False) == ["case-3"]
    assert cases.chosen({"case-2", "case-5"}, [], every=False) == ["case-2"]


def test_undelivered_notices_have_the_places_of_their_events_and_say_how_far_they_were_read(log: Log) -> None:
    notice = {"kind": "fraud_notice"}
    log.event("case-1", MAIL_FAILED, **notice)
    log.event("case-2", NOTICE_ACCEPTED, **notice)
    log.event("case-3", MAIL_BOUNCED, partition=1, **notice)
    log.event("case-1", MAIL_BOUNCED, **notice)
    found = read_undelivered(Settings())
    placed = {one.event.id_transaction: (one.partition, one.offset) for one in found.events}
    assert placed == {"case-1": (Partition(CASE_EVENT, 0), 3), "case-3": (Partition(CASE_EVENT, 1), 2)}
    assert found.ends == {Partition(CASE_EVENT, 0): 4, Partition(CASE_EVENT, 1): 3}
    assert found.accepted == {"case-2": NOON}
