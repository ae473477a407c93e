"""Where producing a source file continues: after its last committed position, or nowhere while that isn't certain."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicPartition
from fraudstream.errors import KafkaRefused, KafkaUnavailable, RecordError
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.produce import progress
from fraudstream.kafka.produce.progress import IngestProgress, last_progress
from fraudstream.kafka.records import INGEST_PROGRESS
from fraudstream.settings import Settings

from tests.unit.kafka.topic.memory_topic import Clock, MemoryTopic, Record

REGISTRY = SimpleNamespace(
    identifier=lambda topic, schema: 1, schema=lambda identifier, topic: RegisteredSchema(schema_text(topic))
)
CODEC = Codec(INGEST_PROGRESS, REGISTRY)  # type: ignore[arg-type]
BEGINNING = IngestProgress("file-a", "gs://bank/a.csv")
HALF_WAY = replace(BEGINNING, byte=700, row=7, blank=1, fraud=2, nonFraud=4, rejected=1)


def written(*positions: IngestProgress) -> MemoryTopic:
    """A topic with these positions, each followed by a transaction marker."""
    offsets = [2 * number for number in range(len(positions))]
    topic = MemoryTopic(p0=(offsets, 2 * len(offsets)))
    for offset, position in zip(offsets, positions, strict=True):
        topic.contents[0, offset] = (position.file.encode(), CODEC.encode(position.to_record()))
    return topic


def last(monkeypatch: pytest.MonkeyPatch, topic: MemoryTopic) -> IngestProgress:
    monkeypatch.setattr(progress, "Consumer", topic.client)
    monkeypatch.setattr(progress, "AdminClient", lambda config: topic.client({**topic.clients[0].config}))
    monkeypatch.setattr(progress, "_high_watermark", lambda admin: topic.ends[0])
    monkeypatch.setattr(progress, "time", topic.clock)
    try:
        return last_progress(Settings(), CODEC, BEGINNING)
    finally:
        assert topic.clients[0].closed


def test_a_file_without_a_position_begins_at_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert last(monkeypatch, written()) == BEGINNING
    assert last(monkeypatch, written(replace(HALF_WAY, file="file-b"))) == BEGINNING


def test_the_last_position_of_the_file_counts_wherever_it_lay_then(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = replace(HALF_WAY, row=9, source="gs://bank/moved.csv")
    topic = written(HALF_WAY, replace(HALF_WAY, file="file-b", row=70), moved, replace(HALF_WAY, file="file-b", row=90))
    assert last(monkeypatch, topic) == moved


def test_a_position_behind_another_producers_open_transaction_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = written(HALF_WAY, replace(HALF_WAY, row=9))
    topic.readable[0], topic.clock.step = 2, 1.0

    def ends() -> None:
        if topic.clock.now > 1_060:
            topic.readable.clear()

    topic.on_read = ends
    assert last(monkeypatch, topic).row == 9


def test_a_transaction_that_stays_open_is_not_read_past(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = written(HALF_WAY, replace(HALF_WAY, row=9))
    topic.readable[0], topic.clock.step = 2, 1.0
    with pytest.raises(KafkaUnavailable, match="read to offset 2, and its records reach to 4, after 90 s"):
        last(monkeypatch, topic)
    assert topic.clock.now - 1_000 == pytest.approx(91)


def test_a_position_that_can_not_be_decoded_is_named_and_nothing_is_produced(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = written(HALF_WAY, replace(HALF_WAY, row=9))
    topic.contents[0, 2] = (b"file-a", b"rubbish")
    with pytest.raises(RecordError, match=r"ingest_progress\[0\] offset 2 is not a position of b'file-a'"):
        last(monkeypatch, topic)


def test_an_error_names_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = written(HALF_WAY)
    topic.failure = Record(0, 0, Code(Code.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaRefused, match="reading topic ingest_progress"):
        last(monkeypatch, topic)


class Leaderless:
    """Answers with these values one after the other, and then always with the last one."""

    def __init__(self, *answers: int | KafkaException) -> None:
        self._answers = list(answers)

    def list_offsets(self, places: dict[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Any]:
        (place,) = places
        assert (place.topic, place.partition) == (INGEST_PROGRESS, 0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

        def result() -> Any:
            if isinstance(answer, KafkaException):
                raise answer
            return SimpleNamespace(offset=answer)

        return {place: SimpleNamespace(result=result)}


class TestEnd:
    """The end of the positions' topic: while no leader confirms it, no file is started from its beginning."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        made = Clock()

        def sleep(seconds: float) -> None:
            assert 0 < seconds < 1
            made.now += seconds

        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=made.monotonic, sleep=sleep))
        return made

    @pytest.mark.parametrize("answer", [-1001, KafkaException(Code(Code.LEADER_NOT_AVAILABLE, retriable=True))])
    def test_a_leader_is_waited_for(self, answer: Any) -> None:
        assert progress._high_watermark(Leaderless(answer, answer, 12)) == 12

    def test_a_topic_without_records_ends_at_0(self) -> None:
        assert progress._high_watermark(Leaderless(0)) == 0

    def test_no_leader_is_waited_for_without_end(self, clock: Clock) -> None:
        with pytest.raises(KafkaUnavailable):
            progress._high_watermark(Leaderless(-1001))
        assert clock.now - 1_000 == pytest.approx(90, abs=1)

    def test_what_does_not_pass_is_told_at_once(self, clock: Clock) -> None:
        with pytest.raises(KafkaException):
            progress._high_watermark(Leaderless(KafkaException(Code(Code.TOPIC_AUTHORIZATION_FAILED))))
        assert clock.now == 1_000
