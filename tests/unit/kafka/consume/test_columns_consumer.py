"""Records read without the client's objects are the same as with them; librdkafka is a fake with real structs."""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError
from fraudstream.kafka.consume import columns_consumer
from fraudstream.kafka.consume.columns_consumer import ColumnsConsumer
from fraudstream.kafka.consume.librdkafka import MESSAGE
from fraudstream.kafka.consume.message_consumer import Failure

OWN_QUEUE = 1


class Library:
    """librdkafka with these messages in its queue; records which of them are released."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self.queued: list[int] = []
        self.timestamps: dict[int, int] = {}
        self.headers: dict[int, list[tuple[bytes, bytes | None]]] = {}
        self.forwarded: list[tuple[int, int]] = []
        self.destroyed_queues: list[int] = []
        self.destroyed: list[int] = []
        self.waits: list[int] = []

    def _bytes(self, content: bytes | None) -> int:
        if content is None:
            return 0
        memory = ctypes.create_string_buffer(content, max(1, len(content)))
        self._kept.append(memory)
        return ctypes.addressof(memory)

    def put(self, number: int, offset: int, value: bytes | None, key: bytes | None = None, error: int = 0) -> int:
        memory = ctypes.create_string_buffer(MESSAGE.itemsize + 8)
        address = (ctypes.addressof(memory) + 7) & ~7
        message = np.zeros(1, MESSAGE)
        message["error"], message["topic"], message["partition"], message["offset"] = error, 1, number, offset
        message["value"], message["value_bytes"] = self._bytes(value), len(value or b"")
        message["key"], message["key_bytes"] = self._bytes(key), len(key or b"")
        ctypes.memmove(address, message.tobytes(), MESSAGE.itemsize)
        self._kept.append(memory)
        self.queued.append(address)
        self.timestamps[address] = 1_000 + offset
        return address

    def rd_kafka_queue_new(self, handle: Any) -> int:
        return OWN_QUEUE

    def rd_kafka_queue_get_partition(self, handle: Any, topic: bytes, number: int) -> int:
        assert topic == b"payments"
        return 100 + number

    def rd_kafka_queue_forward(self, queue: int, to: int) -> None:
        self.forwarded.append((queue, to))

    def rd_kafka_queue_destroy(self, queue: int) -> None:
        self.destroyed_queues.append(queue)

    def rd_kafka_consume_batch_queue(self, queue: int, milliseconds: int, addresses: int, most: int) -> int:
        assert queue == OWN_QUEUE
        self.waits.append(milliseconds)
        given, self.queued = self.queued[:most], self.queued[most:]
        memory = (ctypes.c_uint64 * most).from_address(addresses)
        for place, address in enumerate(given):
            memory[place] = address
        return len(given)

    def rd_kafka_message_timestamp(self, address: int, kind: None) -> int:
        return self.timestamps[address]

    def rd_kafka_message_destroy(self, address: int) -> None:
        self.destroyed.append(address)

    def rd_kafka_message_headers(self, address: int, found: Any) -> int:
        return 0 if address in self.headers else 1

    def rd_kafka_header_get_all(self, headers: Any, index: int, name: Any, value: Any, size: Any) -> int:
        (there,) = self.headers.values()
        if index >= len(there):
            return 1
        name._obj.value = there[index][0]
        value._obj.value = self._bytes(there[index][1]) or None
        size._obj.value = len(there[index][1] or b"")
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(columns_consumer, "library", made)
    monkeypatch.setattr(columns_consumer, "quick", made)
    monkeypatch.setattr(columns_consumer, "handle", lambda consumer: None)
    return made


def reader(most: int = 10, event: Code | None = None) -> ColumnsConsumer:
    found = None if event is None else SimpleNamespace(error=lambda: event)
    return ColumnsConsumer(SimpleNamespace(poll=lambda seconds: found), "payments", most)  # type: ignore[arg-type]


def test_records_come_by_partition_with_their_offsets_and_times(library: Library) -> None:
    library.put(1, 7, b"a")
    library.put(0, 3, b"x" * 20)
    library.put(1, 9, None)
    found, failures = reader().read(0.25)
    assert failures == []
    assert library.waits == [250]
    assert (found[1].offsets.tolist(), found[1].timestamps.tolist()) == ([7, 9], [1_007, 1_009])
    assert found[1].values.equals(pa.array([b"a", None], pa.binary()))
    assert (found[0].offsets.tolist(), found[0].values.to_pylist()) == ([3], [b"x" * 20])
    assert sorted(found) == [0, 1]


def test_key_and_headers_are_those_of_the_record_at_the_place(library: Library) -> None:
    library.put(1, 7, b"a", key=b"first")
    library.put(0, 3, b"x", key=b"of another partition")
    with_headers = library.put(1, 8, b"b", key=b"")
    library.put(1, 9, b"c")
    library.headers[with_headers] = [(b"trace", b"\xff\x00"), (b"empty", None), (b"\xff", b"")]
    found, _ = reader().read(0)
    assert found[1].key_and_headers(0) == (b"first", [])
    assert found[1].key_and_headers(1) == (b"", [("trace", b"\xff\x00"), ("empty", None), ("\ufffd", b"")])
    assert found[1].key_and_headers(2) == (None, [])


def test_ends_and_failures_are_no_records(library: Library) -> None:
    library.put(2, 40, b"end of partition", error=Code._PARTITION_EOF)
    library.put(0, 3, b"x")
    library.put(1, 5, b"not allowed", error=Code.TOPIC_AUTHORIZATION_FAILED)
    found, failures = reader().read(0)
    assert list(found) == [0]
    assert [(f.partition, f.offset, f.error.code(), f.error.str()) for f in failures] == [
        (2, 40, Code._PARTITION_EOF, "end of partition"),
        (1, 5, Code.TOPIC_AUTHORIZATION_FAILED, "not allowed"),
    ]


def test_what_the_client_says_of_itself_comes_before_records(library: Library) -> None:
    library.put(0, 3, b"x")
    event = Code(Code.GROUP_AUTHORIZATION_FAILED)
    assert reader(event=event).read(0) == ({}, [Failure(-1, -1, event)])
    assert len(library.queued) == 1


def test_no_more_than_the_most_come_at_once_and_nothing_where_there_is_nothing(library: Library) -> None:
    for offset in range(5):
        library.put(0, offset, b"v")
    reading = reader(most=3)
    assert [reading.read(0)[0][0].offsets.tolist() for _ in range(2)] == [[0, 1, 2], [3, 4]]
    assert reading.read(0) == ({}, [])


def test_messages_are_released_once_by_the_next_read_or_the_end(library: Library) -> None:
    first, second, third = (library.put(0, offset, b"v") for offset in range(3))
    reading = reader(most=2)
    reading.read(0)
    assert library.destroyed == []
    reading.read(0)
    assert library.destroyed == [first, second]
    reading.close()
    assert library.destroyed == [first, second, third]
    assert library.destroyed_queues == [OWN_QUEUE]


def test_the_queue_of_each_partition_is_forwarded_and_let_go(library: Library) -> None:
    reader().forward_queues([0, 4])
    assert library.forwarded == [(100, OWN_QUEUE), (104, OWN_QUEUE)]
    assert library.destroyed_queues == [100, 104]


def test_no_memory_behind_a_struct_is_read(library: Library) -> None:
    library.put(0, 3, b"x")
    reader().read(0)
    assert ctypes.sizeof(columns_consumer._Struct) == MESSAGE.itemsize


def test_structs_of_another_layout_are_not_followed(library: Library) -> None:
    address = library.put(0, 3, b"x")
    ctypes.memset(address, 0xFF, MESSAGE.itemsize)
    with pytest.raises(KafkaError, match=r"another layout than its header rdkafka\.h"):
        reader().read(0)
