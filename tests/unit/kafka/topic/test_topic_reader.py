"""Reading a topic without a group: every committed record once, in order, up to the current end."""

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable, RecordError
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic import topic_reader
from fraudstream.kafka.topic.topic_reader import TopicReader, read_record
from fraudstream.settings import Settings

from tests.unit.kafka.topic.memory_topic import TOPIC, MemoryTopic, Record


def reader(monkeypatch: pytest.MonkeyPatch, topic: MemoryTopic) -> TopicReader:
    monkeypatch.setattr(topic_reader, "Consumer", topic.client)
    monkeypatch.setattr(topic_reader, "time", topic.clock)
    return TopicReader(Settings(), TOPIC)


def places(reader: TopicReader) -> list[tuple[int | None, int | None]]:
    return [(message.partition(), message.offset()) for message in reader.read()]


class TestReader:
    def test_each_read_gives_what_came_since_the_one_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0, 1], 2), p1=([], 0), p2=([0], 1))
        reading = reader(monkeypatch, topic)
        assert places(reading) == [(0, 0), (0, 1), (2, 0)]
        assert places(reading) == []
        topic.records[1], topic.ends[1] = [0], 1
        topic.records[2], topic.ends[2] = [0, 1], 2
        assert places(reading) == [(1, 0), (2, 1)]

    def test_markers_of_transactions_are_no_records_and_are_passed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0, 2, 5], 7))
        reading = reader(monkeypatch, topic)
        assert places(reading) == [(0, 0), (0, 2), (0, 5)]
        topic.records[0], topic.ends[0] = [0, 2, 5, 7], 9
        assert places(reading) == [(0, 7)]

    def test_what_comes_while_it_reads_is_left_to_the_next_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0], 1), p1=([0], 1))
        reading = reader(monkeypatch, topic)
        records = reading.read()
        assert next(records).partition() == 0
        topic.records[1], topic.ends[1] = [0, 1, 2], 3
        assert [message.offset() for message in records] == [0]
        assert places(reading) == [(1, 1), (1, 2)]

    def test_behind_an_open_transaction_it_ends_after_a_second_and_goes_on_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = MemoryTopic(p0=([0, 1, 2], 3))
        topic.readable[0] = 1
        topic.clock.step = 0.3
        reading = reader(monkeypatch, topic)
        assert places(reading) == [(0, 0)]
        waited = topic.clock.now - 1_000
        assert topic_reader._OPEN_SECONDS < waited < topic_reader._OPEN_SECONDS + 1
        topic.readable.clear()
        assert places(reading) == [(0, 1), (0, 2)]

    def test_brokers_that_say_nothing_are_not_waited_for_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0], 1))
        topic.silent, topic.clock.step = True, 0.1
        with pytest.raises(KafkaUnavailable, match="topic payments can't be read: no answer for 30 s"):
            places(reader(monkeypatch, topic))
        assert topic.clock.now - 1_000 == pytest.approx(30, abs=0.3)

    def test_each_record_begins_the_wait_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=(list(range(5)), 5))
        topic.slow(20)
        assert len(places(reader(monkeypatch, topic))) == 5

    def test_errors_name_the_topic(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0], 1))
        topic.failure = Record(0, 0, Code(Code.TOPIC_AUTHORIZATION_FAILED))
        with pytest.raises(KafkaRefused, match="reading topic payments"):
            places(reader(monkeypatch, topic))
        topic.failure, topic.watermark_error = None, Code(Code.NOT_LEADER_FOR_PARTITION)
        with pytest.raises(KafkaUnavailable, match="reading topic payments"):
            places(reader(monkeypatch, topic))
        topic.watermark_error, topic.error = None, Code(Code.UNKNOWN_TOPIC_OR_PART)
        with pytest.raises(KafkaError, match="reading topic payments"):
            places(reader(monkeypatch, topic))

    def test_it_leaves_the_brokers_at_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0], 1))
        with reader(monkeypatch, topic) as reading:
            assert not topic.clients[0].closed
            assert places(reading) == [(0, 0)]
        assert topic.clients[0].closed


class TestOneRecord:
    def read(self, monkeypatch: pytest.MonkeyPatch, topic: MemoryTopic, offset: int) -> Record:
        monkeypatch.setattr(topic_reader, "Consumer", topic.client)
        try:
            return read_record(Settings(), Partition(TOPIC, 1), offset)  # type: ignore[return-value]
        finally:
            assert topic.clients[-1].closed
            assert topic.clients[-1].config["auto.offset.reset"] == "error"

    def test_it_is_the_one_at_the_offset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p0=([0, 1, 2], 3), p1=([0, 1, 2], 3))
        found = self.read(monkeypatch, topic, 1)
        assert (found.partition(), found.offset()) == (1, 1)

    def test_another_one_is_not_taken_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(RecordError, match=r"payments\[1\] offset 1 can't be read any more: found offset 4"):
            self.read(monkeypatch, MemoryTopic(p1=([0, 4], 5)), 1)

    def test_one_behind_the_end_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(RecordError, match="offset 9 can't be read any more"):
            self.read(monkeypatch, MemoryTopic(p1=([0], 9)), 9)

    @pytest.mark.parametrize("code", [Code._AUTO_OFFSET_RESET, Code._UNKNOWN_PARTITION])
    def test_what_the_client_says_is_gone_is_a_matter_of_the_record(
        self, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        topic = MemoryTopic(p1=([0], 1))
        topic.failure = Record(1, 0, Code(code))
        with pytest.raises(RecordError):
            self.read(monkeypatch, topic, 0)

    def test_any_other_error_is_one_of_the_brokers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic = MemoryTopic(p1=([0], 1))
        topic.failure = Record(1, 0, Code(Code.TOPIC_AUTHORIZATION_FAILED))
        with pytest.raises(KafkaRefused, match=r"reading payments\[1\] offset 0"):
            self.read(monkeypatch, topic, 0)
        topic.failure, topic.silent = None, True
        with pytest.raises(KafkaUnavailable, match=r"payments\[1\] offset 0 can't be read: no answer for 30 s"):
            self.read(monkeypatch, topic, 0)
