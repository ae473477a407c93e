"""librdkafka's own functions, in the library that confluent_kafka loads: for what that only does an object at a time.

Structs and functions: librdkafka's rdkafka.h, whose ABI is kept stable. Where a client keeps its handle is no one's
promise: :func:`usable` looks, and who would use this does without it where it says no.
"""

import ctypes
import logging
import os
import sys
from functools import cache

import numpy as np
from confluent_kafka import Producer, cimpl

log = logging.getLogger(__name__)

#: rd_kafka_message_t; the gaps are the C compiler's.
MESSAGE = np.dtype(
    [
        ("error", np.int32),
        ("topic", np.uint64),
        ("partition", np.int32),
        ("value", np.uint64),
        ("value_bytes", np.uint64),
        ("key", np.uint64),
        ("key_bytes", np.uint64),
        ("offset", np.int64),
        ("opaque", np.uint64),
    ],
    align=True,
)
#: What is looked at of a handle's memory; rd_kafka_t has some thousand bytes.
_HANDLE_BYTES = 512
_pointer, _int32, _size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
#: What may wait or take long is called without Python's lock, by `library`; what is over at once with it, by `quick`.
library, quick = ctypes.CDLL(cimpl.__file__), ctypes.PyDLL(cimpl.__file__)
_FUNCTIONS = (
    (library, "rd_kafka_topic_new", _pointer, _pointer, ctypes.c_char_p, _pointer),
    (library, "rd_kafka_topic_destroy", None, _pointer),
    (library, "rd_kafka_produce_batch", ctypes.c_int, _pointer, _int32, ctypes.c_int, _pointer, ctypes.c_int),
    (library, "rd_kafka_queue_new", _pointer, _pointer),
    (library, "rd_kafka_queue_get_partition", _pointer, _pointer, ctypes.c_char_p, _int32),
    (library, "rd_kafka_queue_forward", None, _pointer, _pointer),
    (library, "rd_kafka_queue_destroy", None, _pointer),
    (library, "rd_kafka_consume_batch_queue", ctypes.c_ssize_t, _pointer, ctypes.c_int, _pointer, _size),
    (quick, "rd_kafka_message_timestamp", ctypes.c_int64, _pointer, _pointer),
    (quick, "rd_kafka_message_headers", ctypes.c_int, _pointer, _pointer),
    (quick, "rd_kafka_header_get_all", ctypes.c_int, _pointer, _size, _pointer, _pointer, _pointer),
    (quick, "rd_kafka_message_destroy", None, _pointer),
    (quick, "rd_kafka_name", _pointer, _pointer),
)


def handle(client: object) -> ctypes.c_void_p:
    """rd_kafka_t * of a confluent_kafka client: the extension type's first member."""
    return ctypes.c_void_p.from_address(id(client) + object.__basicsize__)


@cache
def usable() -> bool:
    """Whether librdkafka can be called past confluent_kafka, which is tried once; where not, a warning says why."""
    reason = _declare() or _handle_mismatch()
    if reason:
        log.warning("librdkafka isn't called directly, since %s: records are read and written more slowly", reason)
    return not reason


def _declare() -> str:
    """Tells ctypes the functions' types; why that can't be done, or nothing."""
    if (ctypes.sizeof(_pointer), sys.byteorder) != (8, "little"):
        return "this is no 64-bit little-endian machine"
    for from_library, name, result, *arguments in _FUNCTIONS:
        try:
            function = getattr(from_library, name)
        except AttributeError:
            return f"confluent_kafka's library has no function {name}"
        function.restype, function.argtypes = result, arguments
    return ""


def _handle_mismatch() -> str:
    """Why a client's handle isn't where it is looked for, or nothing.

    A wrong address would end the process when librdkafka follows it. So it is the kernel that looks first: it answers
    with an error when it is to write from where nothing is.
    """
    name = f"self-check-{os.getpid()}"
    client = Producer({"client.id": name, "log_level": 0})
    address = handle(client).value or 0
    if address % 8 or _memory(address, _HANDLE_BYTES) is None:
        return "a client's handle isn't the first member of its Python object"
    text = quick.rd_kafka_name(address)
    if _memory(text or 0, len(name)) != name.encode():
        return "the first member of a client's Python object isn't its handle"
    return ""


def _memory(address: int, size: int) -> bytes | None:
    """Bytes at an address; None where no memory is."""
    write = ctypes.CDLL(None, use_errno=True).write
    write.restype, write.argtypes = ctypes.c_ssize_t, [ctypes.c_int, _pointer, _size]
    reading, writing = os.pipe()
    try:
        return os.read(reading, size) if write(writing, address, size) == size else None
    finally:
        os.close(reading)
        os.close(writing)


_declare()
