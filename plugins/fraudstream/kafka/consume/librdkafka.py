"""Calls librdkafka's functions in the library that confluent_kafka loads, where confluent_kafka needs Python objects.

Structs and functions are those of librdkafka's rdkafka.h, whose ABI is kept stable. The place of a client's handle is
not part of an API: :func:`usable` checks it, and callers use confluent_kafka's own functions if the check fails.
"""

import ctypes
import logging
import os
import sys
from functools import cache

import numpy as np
from confluent_kafka import Producer, cimpl

log = logging.getLogger(__name__)

#: rd_kafka_message_t, padded as the C compiler does.
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
#: Number of bytes that must be readable at a handle's address; rd_kafka_t has some thousand bytes.
_HANDLE_BYTES = 512
_pointer, _int32, _size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
#: `library` releases Python's lock, for functions that may wait or take long. `quick` keeps it, for short functions.
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
    """The rd_kafka_t * of a confluent_kafka client, which is the first member of its Python object."""
    return ctypes.c_void_p.from_address(id(client) + object.__basicsize__)


@cache
def usable() -> bool:
    """Whether librdkafka can be called directly. This is checked once; if it can't, a warning says why."""
    reason = _declare() or _handle_mismatch()
    if reason:
        log.warning("librdkafka isn't called directly, since %s: records are read and written more slowly", reason)
    return not reason


def _declare() -> str:
    """Declares the functions' types to ctypes. Returns why that isn't possible, or an empty string."""
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
    """Returns why a client's handle isn't at the expected place, or an empty string.

    A wrong address would crash the process in librdkafka. So the memory is first read with the system call write,
    which returns an error for an address without memory.
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
    """The bytes at an address; None if no memory is there."""
    write = ctypes.CDLL(None, use_errno=True).write
    write.restype, write.argtypes = ctypes.c_ssize_t, [ctypes.c_int, _pointer, _size]
    reading, writing = os.pipe()
    try:
        return os.read(reading, size) if write(writing, address, size) == size else None
    finally:
        os.close(reading)
        os.close(writing)


_declare()
