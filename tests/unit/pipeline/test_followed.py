"""Cases, answers, events and dead letters are counted from the records, whatever the order in which topics are read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_RESENT, NOTICE_ACCEPTED, CaseEvent
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    Partition,
)
from fraudstream.pipeline.sampling import followed, sampler
from fraudstream.pipeline.sampling.followed import Counted, Followed
from fraudstream.pipeline.sampling.sampler import Sampler
from fraudstream.settings import Settings

NOW = 1_700_000_000.0
DAY = 86_400.0


class Message:
    """A record as a consumer returns it."""

    def __init__(self, topic: str, at: float = NOW, offset: int = 0, **content: Any) -> None:
        self._place = (topic, offset)
        self._at = at
        self._content = content

    def topic(self) -> str:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def partition(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, int(self._at * 1000)

    def error(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda: self._content.get(name)


def record(counted: Counted, topic: str, came_at: float = NOW, offset: int = 0, **values: Any) -> None:
    counted.take_record(Message(topic, came_at, offset), values)  # type: ignore[arg-type]


def test_cases_wait_by_age_until_their_first_answer() -> None:
    counted = Counted()
    record(counted, FRAUD_CONFIRMATION, came_at=NOW, offset=9, idTransaction="c", status="REPORTED_NOT_FRAUD")
    record(counted, FRAUD_CONFIRMATION, came_at=NOW, offset=3, idTransaction="c", status="REPORTED_FRAUD")
    record(counted, FRAUD_CONFIRMATION, came_at=NOW, offset=4, idTransaction="unknown", status="REPORTED_FRAUD")
    for case, age in (("a", 60), ("b", 2 * 3600), ("c", 60), ("d", 4 * DAY)):
        record(counted, FRAUD_TRANSACTION, came_at=NOW - age, idTransaction=case)
    figures = counted.case_figures(NOW, 3 * DAY)
    assert figures.waiting == {"under 1 hour": 1, "1 to 6 hours": 1, "6 to 24 hours": 0, "over 24 hours": 1}
    assert (figures.open, figures.overdue, figures.outcomes) == (3, 1, {"REPORTED_FRAUD": 1})


def test_a_case_is_overdue_once_the_time_since_its_notice_was_accepted_is_up() -> None:
    counted = Counted()
    record(counted, FRAUD_TRANSACTION, came_at=NOW, idTransaction="a")
    for hours in (6, 20):
        at = datetime.fromtimestamp(NOW + hours * 3600, UTC)
        record(counted, CASE_EVENT, **CaseEvent("a", NOTICE_ACCEPTED, "send_mail", at=at).record())
    overdue = [counted.case_figures(NOW + hours * 3600, 3 * DAY).overdue for hours in (73, 78, 79)]
    assert overdue == [0, 0, 1]


def test_the_last_staff_decision_counts_whatever_was_answered() -> None:
    answers = [(1, "NO_RESPONSE", "TIMEOUT"), (2, "REPORTED_FRAUD", "STAFF"), (3, "REPORTED_NOT_FRAUD", "STAFF")]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        counted = Counted()
        record(counted, FRAUD_TRANSACTION, idTransaction="a")
        for offset, status, channel in (answers[index] for index in order):
            record(counted, FRAUD_CONFIRMATION, offset=offset, idTransaction="a", status=status, channel=channel)
        assert counted.case_figures(NOW, DAY).outcomes == {"REPORTED_NOT_FRAUD": 1}


def test_a_notice_that_came_back_counts_until_it_is_sent_again() -> None:
    counted = Counted()
    for kind, event in (("fraud_notice", MAIL_BOUNCED), ("receipt", MAIL_BOUNCED)):
        record(counted, CASE_EVENT, **CaseEvent(f"case of {kind}", event, "relay", details={"kind": kind}).record())
    assert counted.case_figures(NOW, DAY).undelivered == {"bounced": 1}
    record(counted, CASE_EVENT, **CaseEvent("case of fraud_notice", MAIL_RESENT, "clerk").record())
    assert counted.case_figures(NOW, DAY).undelivered == {}


def test_rows_of_files_are_those_of_each_file_s_last_progress() -> None:
    counted = Counted()
    for name, rows in (("1", 5), ("2", 7), ("1", 8)):
        record(counted, INGEST_PROGRESS, file=name, source="x", fraud=1, nonFraud=rows, rejected=0)
    assert counted.produced() == {"fraud": 2, "nonFraud": 15, "rejected": 0}


def test_a_dead_letter_counts_once_by_its_kind_until_it_is_produced_again() -> None:
    counted = Counted()
    place = Partition(FRAUD_TRANSACTION, 2)
    letter = DeadLetter(place, 7, None, None, None, (), "no such schema: id 99")
    for sent in (letter.to_message(), letter.to_message()):
        counted.take_letter(Message(**sent))  # type: ignore[arg-type]
    counted.take_letter(Message(INGEST_DEAD_LETTER, headers=[("reason", b"bad amount: x")]))  # type: ignore[arg-type]
    assert counted.dead_letters() == {
        "fraud_transaction.dead_letter": {"no such schema": 1},
        INGEST_DEAD_LETTER: {"bad amount": 1},
    }
    counted.take_letter(Message(**letter.to_marker(1)))  # type: ignore[arg-type]
    counted.take_letter(Message(**letter.to_message()))  # type: ignore[arg-type]
    assert "fraud_transaction.dead_letter" not in counted.dead_letters()


def test_dead_letters_of_a_topic_and_of_the_one_that_replaced_it_count_apart() -> None:
    counted = Counted()
    older, newer = (
        DeadLetter(Partition(FRAUD_TRANSACTION, 2), 7, at, None, None, (), "no such schema: id 99") for at in (1, 2)
    )
    for letter in (older, newer):
        counted.take_letter(Message(**letter.to_message()))  # type: ignore[arg-type]
    assert counted.dead_letters() == {"fraud_transaction.dead_letter": {"no such schema": 2}}
    counted.take_letter(Message(**older.to_marker(1)))  # type: ignore[arg-type]
    assert counted.dead_letters() == {"fraud_transaction.dead_letter": {"no such schema": 1}}
    of_an_older_version = DeadLetter(Partition(FRAUD_TRANSACTION, 2), 7, None, None, None, (), "")
    counted.take_letter(Message(**of_an_older_version.to_marker(1)))  # type: ignore[arg-type]
    assert counted.dead_letters() == {}


class Log:
    """A dead-letter topic of one partition, and the consumers that read it."""

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.consumers: list[Consumer] = []

    def put(self, count: int, reason: str) -> None:
        for offset in range(len(self.letters), len(self.letters) + count):
            sent = DeadLetter(Partition(FRAUD_TRANSACTION, 0), offset, None, None, None, (), reason).to_message()
            self.letters.append(Message(**sent, offset=offset))

    def consumer(self, config: dict[str, Any]) -> "Consumer":
        self.consumers.append(Consumer(self))
        return self.consumers[-1]


class Consumer:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._position = 0
        self.closed = False

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self._position = 0

    def consume(self, most: int, seconds: float) -> list[Message]:
        found, self._position = self._log.letters[self._position :], len(self._log.letters)
        return found

    def close(self) -> None:
        self.closed = True


LETTERS = Partition("fraud_transaction.dead_letter", 0)


def test_a_topic_that_has_fewer_records_than_were_counted_was_recreated(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(followed, "Consumer", log.consumer)
    reading = Followed(Settings())
    log.put(3, "old")
    assert reading.read({LETTERS: 3}, 1)
    assert reading.read({LETTERS: 3}, 1)
    with pytest.raises(KafkaUnavailable, match=r"dead_letter\[0\] ends at offset 2, .* before offset 3 .* recreated"):
        reading.read({LETTERS: 2}, 1)


def test_after_a_topic_was_recreated_its_records_are_counted_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(followed, "Consumer", log.consumer)
    monkeypatch.setattr(sampler, "GroupLag", lambda settings: Bounds(log))
    samples = Sampler(Settings(), lambda: pytest.fail("the lake isn't asked for"))
    monkeypatch.setattr(samples, "_of_lake", lambda sample: None)
    log.put(3, "old")
    assert samples.sample().dead_letters == {LETTERS.topic: {"old": 3}}
    log.letters.clear()
    log.put(2, "new")
    without = samples.sample()
    assert (without.dead_letters, without.cases, len(without.problems)) == ({}, None, 1)
    assert log.consumers[0].closed
    again = samples.sample()
    assert (again.dead_letters, again.problems) == ({LETTERS.topic: {"new": 2}}, [])


class Bounds:
    """Stands for GroupLag, without groups."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def bounds(self, topics: Any) -> dict[Partition, tuple[int, int]]:
        return {LETTERS: (0, len(self._log.letters))}

    def lags(self, *_: Any) -> dict[str, Any]:
        return {}
