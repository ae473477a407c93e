"""A topic in memory and a client that reads it without a group and without a socket."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

TOPIC = "payments"


class Placed:
    """A record at an offset of a partition, or an error."""

    def __init__(self, number: int | None, offset: int | None, error: Code | None = None) -> None:
        self._number, self._offset, self._error = number, offset, error

    def partition(self) -> int | None:
        return self._number

    def offset(self) -> int | None:
        return self._offset

    def error(self) -> Code | None:
        return self._error


class Record(Placed):
    """A record, or an event of a partition."""

    #: Key and value.
    content = (b"", b"")

    def key(self) -> bytes:
        return self.content[0]

    def value(self) -> bytes:
        return self.content[1]


class Clock:
    """Stands for the module time; each read of the topic takes `step` seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.step = 0.0

    def monotonic(self) -> float:
        return self.now


class MemoryTopic:
    """Partitions by number, each with the offsets that have a record, and its end.

    `readable` is the first offset of an open transaction: records from there on aren't returned, and readers see it as
    the end.
    """

    def __init__(self, **partitions: tuple[list[int], int]) -> None:
        self.records = {int(name[1:]): offsets for name, (offsets, _) in partitions.items()}
        self.ends = {int(name[1:]): end for name, (_, end) in partitions.items()}
        self.readable: dict[int, int] = {}
        #: Key and value of records, by partition and offset.
        self.contents: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.silent = False
        self.failure: Record | None = None
        self.error: Code | None = None
        self.watermark_error: Code | None = None
        self.not_told: int | None = None
        self.clock = Clock()
        self.clients: list[Client] = []
        self.on_read: Callable[[], None] = lambda: None

    def client(self, config: dict[str, Any]) -> "Client":
        assert config["isolation.level"] == "read_committed"
        assert config["enable.auto.commit"] is False
        assert config["enable.partition.eof"] is True
        self.clients.append(Client(self, config))
        return self.clients[-1]

    def slow(self, seconds: float) -> None:
        """Every second read finds nothing, and each takes this many seconds."""
        self.clock.step = seconds
        self.silent = True

        def toggle() -> None:
            self.silent = not self.silent

        self.on_read = toggle

    def end(self, number: int) -> int:
        return min(self.ends[number], self.readable.get(number, self.ends[number]))


class Client:
    """Stands for confluent_kafka's consumer."""

    def __init__(self, topic: MemoryTopic, config: dict[str, Any]) -> None:
        self._topic = topic
        self.config = config
        self.positions: dict[int, int] = {}
        self._told: set[int] = set()
        self.closed = False

    def list_topics(self, topic: str, timeout: float) -> Any:
        partitions = dict.fromkeys(self._topic.records)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self._topic.error, partitions=partitions)})

    def assign(self, places: list[TopicPartition]) -> None:
        self.positions = {p.partition: 0 if p.offset == OFFSET_BEGINNING else p.offset for p in places}

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        if self._topic.watermark_error is not None:
            raise KafkaException(self._topic.watermark_error)
        return 0, self._topic.ends[place.partition]

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The offset of each timestamp is the timestamp in seconds since 1970."""
        found = []
        for place in places:
            later = [o for o in self._topic.records[place.partition] if o * 1000 >= place.offset]
            offset = min(later, default=self._topic.ends[place.partition])
            untold = place.partition == self._topic.not_told
            found.append(TopicPartition(TOPIC, place.partition, OFFSET_INVALID if untold else offset))
        return found

    def poll(self, seconds: float) -> Record | None:
        assert seconds > 0, "a negative time is one without end"
        self._topic.on_read()
        self._topic.clock.now += self._topic.clock.step
        if self._topic.failure is not None:
            return self._topic.failure
        if self._topic.silent:
            return None
        for number, position in sorted(self.positions.items()):
            end = self._topic.end(number)
            offset = next((o for o in self._topic.records[number] if position <= o < end), None)
            if offset is not None:
                self.positions[number] = offset + 1
                self._told.discard(number)
                record = Record(number, offset)
                record.content = self._topic.contents.get((number, offset), record.content)
                return record
            if number not in self._told:
                self._told.add(number)
                self.positions[number] = end
                return Record(number, end, Code(Code._PARTITION_EOF))
        return None

    def consume(self, most: int, seconds: float) -> list[Record]:
        found = self.poll(seconds)
        return [] if found is None else [found]

    def close(self) -> None:
        self.closed = True
