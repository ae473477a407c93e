"""All groups of a topic skip the same records, each of which is one dead letter; too many of them stop the group."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.errors import KafkaUnavailable, TooManyDeadLetters
from fraudstream.kafka.avro.codec import InvalidRecord
from fraudstream.kafka.consume.message_consumer import Records
from fraudstream.kafka.dead_letters import invalid_records
from fraudstream.kafka.dead_letters.invalid_records import InvalidRecords, KnownDeadLetters
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.dead_letters import LetterTopic

PARTITION = Partition("topic", 0)
FIRST = 40


class LetterReader:
    """A reader of an empty dead-letter topic."""

    reads = 0

    def read(self) -> list[DeadLetter]:
        self.reads += 1
        return []


def group(topic: LetterTopic, *, sends: bool, max_share: float = 1.0) -> InvalidRecords:
    return InvalidRecords("topic", "group", dead_letters=topic if sends else None, known=topic, max_share=max_share)  # type: ignore[arg-type]


def records(count: int, first: int = FIRST) -> Records:
    values = pa.array([b"%d" % index for index in range(count)], pa.binary())
    return Records(np.arange(first, first + count), np.full(count, 7), values, lambda i: (b"k%d" % i, [("h", b"1")]))


def invalid(*places: int, unknown: bool = False) -> list[InvalidRecord]:
    return [InvalidRecord(place, "column amount: too much", unknown_schema=unknown) for place in places]


class OtherRecord:
    """A record of another program in a dead-letter topic, followed by a letter."""

    def __init__(self, offset: int, headers: list[tuple[str, bytes]]) -> None:
        self._offset = offset
        self._headers = headers

    def topic(self) -> str:
        return "topic.dead_letter"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 7

    def key(self) -> None: ...

    def value(self) -> None: ...

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers


class FailingReader:
    """A reader whose first read returns a letter and fails, and whose later reads continue after the second letter."""

    def __init__(self, letters: list[OtherRecord]) -> None:
        self._letters = letters
        self.reads = 0
        self.closed = False

    def read(self) -> Iterator[OtherRecord]:
        self.reads += 1
        if self.reads > 1:
            yield from self._letters[2:]
            return
        yield self._letters[0]
        raise KafkaUnavailable("the second letter was fetched, but not returned")

    def close(self) -> None:
        self.closed = True


def test_what_is_no_letter_stops_no_group(monkeypatch, caplog):
    place = [("topic", b"topic"), ("partition", b"0"), ("offset", b"%d" % FIRST)]
    there = [OtherRecord(0, []), OtherRecord(1, [("topic", b"topic")]), OtherRecord(2, place)]
    reader = SimpleNamespace(read=lambda: iter(there))
    monkeypatch.setattr(invalid_records, "TopicReader", lambda settings, name: reader)
    assert KnownDeadLetters(Settings(), "topic").of(PARTITION) == {FIRST: {None}}
    named = [text.partition(" has ")[0] for text in caplog.messages]
    assert named == [f"passed over: topic.dead_letter[0] offset {offset}" for offset in (0, 1)]


def test_the_letter_has_the_whole_record_and_is_there_before_the_group_goes_on():
    topic = LetterTopic()
    assert group(topic, sends=True).settle(PARTITION, records(5), invalid(1), []) == {1}
    assert topic.letters == [DeadLetter(PARTITION, FIRST + 1, 7, b"k1", b"1", [("h", b"1")], "column amount: too much")]


def test_while_all_records_are_valid_dead_letters_are_read_about_once_a_second(monkeypatch):
    topic, clock = LetterReader(), SimpleNamespace(now=0.0)
    monkeypatch.setattr(invalid_records, "TopicReader", lambda settings, name: topic)
    monkeypatch.setattr(invalid_records, "time", SimpleNamespace(monotonic=lambda: clock.now))
    known = KnownDeadLetters(Settings(), NON_FRAUD_TRANSACTION)
    for clock.now in (100.0, 100.9, 101.1, 101.2, 102.2):
        known.lately(PARTITION)
    assert topic.reads == 3
    known.of(PARTITION)
    assert topic.reads == 4
    KnownDeadLetters(Settings(), "a topic of others").lately(PARTITION)
    assert topic.reads == 4


def test_after_an_error_the_dead_letters_are_read_from_the_start_and_at_once(monkeypatch):
    place = [("topic", NON_FRAUD_TRANSACTION.encode()), ("partition", b"0")]
    letters = [OtherRecord(n, [*place, ("offset", b"%d" % n)]) for n in range(3)]
    failing, next_one = FailingReader(letters), SimpleNamespace(read=lambda: iter(letters))
    readers = iter([failing, next_one])
    monkeypatch.setattr(invalid_records, "TopicReader", lambda settings, name: next(readers))
    monkeypatch.setattr(invalid_records, "time", SimpleNamespace(monotonic=lambda: 100.0))
    known, partition = KnownDeadLetters(Settings(), NON_FRAUD_TRANSACTION), Partition(NON_FRAUD_TRANSACTION, 0)
    with pytest.raises(KafkaUnavailable):
        known.lately(partition)
    assert known.lately(partition) == {0: {None}, 1: {None}, 2: {None}}
    assert failing.closed


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.lists(st.integers(0, 9), max_size=10, unique=True))
def test_records_read_again_and_by_every_group_are_one_letter_each(senders, places):
    topic = LetterTopic()
    for sends in [True, *senders]:
        assert group(topic, sends=sends).settle(PARTITION, records(10), invalid(*places), []) == set(places)
    assert sorted(letter.offset for letter in topic.letters) == sorted(FIRST + place for place in places)


def test_a_group_waits_for_the_letter_of_a_record_whose_schema_is_unknown():
    topic = LetterTopic()
    waiting, sending = group(topic, sends=False), group(topic, sends=True)
    assert waiting.settle(PARTITION, records(3), invalid(0, unknown=True), []) is None
    assert sending.settle(PARTITION, records(3), invalid(0, unknown=True), []) == {0}
    assert waiting.settle(PARTITION, records(3), invalid(0, unknown=True), []) == {0}


@pytest.mark.parametrize("foreign", [[0, 1], []])
@pytest.mark.parametrize("sends", [True, False])
def test_what_is_a_dead_letter_stays_one_when_its_schema_is_known_later(sends, foreign):
    topic = LetterTopic()
    group(topic, sends=True).settle(PARTITION, records(3), invalid(1, unknown=True), [])
    assert group(topic, sends=sends).settle(PARTITION, records(3), [], foreign) == {1}
    assert group(topic, sends=sends).settle(PARTITION, records(3), invalid(0), foreign) == {0, 1}
    assert len(topic.letters) == (2 if sends else 1)


@pytest.mark.parametrize("foreign", [[0, 1, 2], []])
def test_a_letter_of_the_topic_that_was_there_before_says_nothing_of_the_record_at_its_offset(foreign):
    topic = LetterTopic([DeadLetter(PARTITION, FIRST + 1, 6, None, b"", [], "of the topic that was deleted")])
    assert group(topic, sends=False).settle(PARTITION, records(3), [], foreign) == set()
    assert group(topic, sends=True).settle(PARTITION, records(3), invalid(1), foreign) == {1}
    assert len(topic.letters) == 2
    older = LetterTopic([DeadLetter(PARTITION, FIRST + 1, None, None, b"", [], "of an older version")])
    assert group(older, sends=False).settle(PARTITION, records(3), [], foreign) == {1}


@pytest.mark.parametrize("sends", [True, False])
def test_too_many_invalid_records_stop_the_group_before_they_are_dead_letters(sends):
    topic = LetterTopic()
    with pytest.raises(TooManyDeadLetters, match=r"FRAUDSTREAM_KAFKA_MAX_DEAD_LETTER_SHARE.*topic\[0\] from offset 40"):
        group(topic, sends=sends, max_share=0.1).settle(PARTITION, records(1000), invalid(*range(101)), [])
    assert topic.letters == topic.waiting == []


def test_a_few_invalid_records_stop_nobody_and_many_small_batches_of_them_do():
    topic = LetterTopic()
    reading = group(topic, sends=True, max_share=0.5)
    for batch in range(99):
        reading.settle(PARTITION, records(1, first=batch), invalid(0), [])
    with pytest.raises(TooManyDeadLetters):
        reading.settle(PARTITION, records(1, first=99), invalid(0), [])
    assert len(topic.letters) == 99


def test_a_history_of_valid_records_doesnt_outweigh_a_setting_that_went_wrong():
    topic = LetterTopic()
    reading = group(topic, sends=True, max_share=0.1)
    for batch in range(100):
        reading.settle(PARTITION, records(10_000, first=batch * 10_000), [], [])
    with pytest.raises(TooManyDeadLetters):
        for batch in range(100, 104):
            reading.settle(PARTITION, records(1_000, first=batch * 10_000), invalid(*range(1_000)), [])
    assert len(topic.letters) <= 2_000


def test_records_that_are_dead_letters_already_dont_stop_a_group_that_reads_them_again():
    topic = LetterTopic()
    group(topic, sends=True).settle(PARTITION, records(1000), invalid(*range(500)), [])
    again = group(topic, sends=False, max_share=0.1)
    assert again.settle(PARTITION, records(1000), invalid(*range(500)), []) == set(range(500))
