"""Reads records from librdkafka as columns, without a Python object for each record.

confluent_kafka's consume() creates a message, a key and a value for each record, and every field takes another call.
librdkafka's own function returns the addresses of structs. numpy and Arrow copy the structs and the values.

The partitions' queues are forwarded to a separate queue. Events with callbacks (rebalances, errors, logs) stay in the
consumer's queue, which confluent_kafka serves in poll().
"""

import ctypes
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import repeat

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, libversion
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError
from fraudstream.kafka.consume.librdkafka import MESSAGE, handle, library, quick
from fraudstream.kafka.consume.message_consumer import Failure, KeyAndHeaders, Records

_WORDS = MESSAGE.itemsize // 8
_Struct = ctypes.c_uint64 * _WORDS
#: An element of Arrow's type binary_view: it contains a value of at most _INLINE bytes, and else refers to a buffer.
_VIEW = np.dtype([("bytes", np.int32), ("beginning", "V4"), ("buffer", np.int32), ("start", np.int32)])
_INLINE = 12
#: A position in a buffer has 31 bits, so that memory is divided into regions of 1 GiB, with a buffer for each.
_REGION_BITS = 30


class ColumnsConsumer:
    """:class:`~fraudstream.kafka.consume.message_consumer.RecordsReader` that creates no object for each record.

    Close it before the consumer.

    Use it only if :func:`~fraudstream.kafka.consume.librdkafka.usable` returns True.

    :param most: maximum number of records of one :meth:`read`
    """

    def __init__(self, consumer: Consumer, topic: str, most: int) -> None:
        self._consumer = consumer
        self._handle = handle(consumer)
        self._topic = topic.encode()
        self._queue = library.rd_kafka_queue_new(self._handle)
        self._addresses = np.zeros(most, np.uint64)
        self._held: list[int] = []

    def forward_queues(self, partitions: Iterable[int]) -> None:
        """Forwards the queues of these partitions to the reader's queue. Call it before they are assigned."""
        for number in partitions:
            queue = library.rd_kafka_queue_get_partition(self._handle, self._topic, number)
            library.rd_kafka_queue_forward(queue, self._queue)
            library.rd_kafka_queue_destroy(queue)

    def close(self) -> None:
        """Releases the messages of the last read and the queue."""
        self._release_messages()
        library.rd_kafka_queue_destroy(self._queue)

    def read(self, seconds: float) -> tuple[dict[int, Records], list[Failure]]:
        self._release_messages()
        event = self._consumer.poll(0)
        if event is not None:
            return {}, [Failure(-1, -1, event.error())]
        count = library.rd_kafka_consume_batch_queue(
            self._queue, int(seconds * 1000), self._addresses.ctypes.data, len(self._addresses)
        )
        if count <= 0:
            return {}, []
        self._held = self._addresses[:count].tolist()
        messages = _structs(self._addresses[:count])
        _require_plausible(messages)
        timestamps = np.fromiter(map(quick.rd_kafka_message_timestamp, self._held, repeat(None)), np.int64, count)
        good = messages["error"] == 0
        found = {}
        for number in np.unique(messages["partition"][good]).tolist():
            chosen = np.flatnonzero(good & (messages["partition"] == number))
            part = messages.take(chosen)
            values = _binary_column(part["value"], part["value_bytes"])
            original = partial(_key_and_headers, part, self._addresses.take(chosen))
            found[number] = Records(part["offset"].copy(), timestamps.take(chosen), values, original)
        return found, [_failure(message) for message in messages[~good]]

    def _release_messages(self) -> None:
        deque(map(quick.rd_kafka_message_destroy, self._held), maxlen=0)
        self._held = []


def _require_plausible(messages: np.ndarray) -> None:
    """Checks that the fields of each struct are plausible, before an address in it is used.

    :raises KafkaError: librdkafka's structs have another layout than in rdkafka.h
    """
    sizes = (messages["value_bytes"] >> 31) | (messages["key_bytes"] >> 31)
    absent = (messages["value"] == 0) & (messages["value_bytes"] != 0)
    nowhere = (messages["error"] == 0) & ((messages["topic"] == 0) | (messages["partition"] < 0))
    if sizes.any() or absent.any() or nowhere.any():
        raise KafkaError(
            f"messages of librdkafka {libversion()[0]} have another layout than its header rdkafka.h says: use the "
            f"version of confluent-kafka that requirements.txt names"
        )


def _key_and_headers(messages: np.ndarray, addresses: np.ndarray, index: int) -> KeyAndHeaders:
    message = messages[index]
    key = ctypes.string_at(int(message["key"]), int(message["key_bytes"])) if message["key"] else None
    found: list[tuple[str, bytes | None]] = []
    headers, name, value, size = ctypes.c_void_p(), ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
    if quick.rd_kafka_message_headers(int(addresses[index]), ctypes.byref(headers)):
        return key, found  # the record has no headers
    places = ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)
    while not quick.rd_kafka_header_get_all(headers, len(found), *places):
        content = ctypes.string_at(value.value, size.value) if value.value else None
        found.append(((name.value or b"").decode(errors="replace"), content))
    return key, found


def _failure(message: np.void) -> Failure:
    text = ctypes.string_at(int(message["value"]), int(message["value_bytes"])).decode(errors="replace")
    return Failure(int(message["partition"]), int(message["offset"]), Code(int(message["error"]), text))


def _structs(addresses: np.ndarray) -> np.ndarray:
    """A copy of the structs at these addresses (uint64, multiples of 8)."""
    first = addresses.min()
    words = (addresses - first) >> 3
    memory = np.lib.stride_tricks.as_strided(
        np.ctypeslib.as_array(_Struct.from_address(int(first))), (int(words.max()) + _WORDS,)
    )
    rows: np.ndarray = memory[words[:, None] + np.arange(_WORDS, dtype=np.uint64)].view(MESSAGE)[:, 0]
    return rows


def _binary_column(addresses: np.ndarray, lengths: np.ndarray) -> pa.BinaryArray:
    """Copies the given number of bytes from each address. Address 0 gives null."""
    return _views(addresses, lengths).cast(pa.binary())


def _views(addresses: np.ndarray, lengths: np.ndarray) -> pa.Array:
    """The bytes as an array of Arrow's type binary_view, which refers to longer values without copying them."""
    views = np.zeros(len(addresses), _VIEW)
    views["bytes"] = lengths
    regions, views["buffer"] = np.unique(addresses >> _REGION_BITS, return_inverse=True)
    views["start"] = addresses & ((1 << _REGION_BITS) - 1)
    long = np.flatnonzero(lengths > _INLINE)
    views["beginning"][long] = _beginnings(addresses[long])
    for index in np.flatnonzero(lengths <= _INLINE).tolist():
        inline = ctypes.string_at(int(addresses[index]), int(lengths[index])) if lengths[index] else b""
        views[index] = np.frombuffer(len(inline).to_bytes(4, "little") + inline.ljust(_INLINE, b"\0"), _VIEW)[0]
    valid = None if addresses.all() else pa.py_buffer(np.packbits(addresses != 0, bitorder="little"))
    memory = [pa.foreign_buffer(int(region) << _REGION_BITS, (1 << 31) - 1) for region in regions]
    return pa.Array.from_buffers(pa.binary_view(), len(views), [valid, pa.py_buffer(views), *memory])


def _beginnings(addresses: np.ndarray) -> np.ndarray:
    """The first four bytes at each address."""
    if not len(addresses):
        return np.zeros(0, "V4")
    first = addresses.min()
    memory = np.lib.stride_tricks.as_strided(
        np.ctypeslib.as_array((ctypes.c_uint8 * 4).from_address(int(first))), (int(addresses.max() - first) + 4,)
    )
    gathered: np.ndarray = memory[(addresses - first)[:, None] + np.arange(4, dtype=np.uint64)].view("V4")[:, 0]
    return gathered
