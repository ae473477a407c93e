"""librdkafka's own functions, in the library that confluent_kafka loads: for what that only does an object at a time.

Structs and functions: librdkafka's rdkafka.h, whose ABI is kept stable.
"""

import ctypes

import numpy as np
from confluent_kafka import cimpl

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
_pointer, _int32 = ctypes.c_void_p, ctypes.c_int32
#: What may wait or take long is called without Python's lock, by `library`; what is over at once with it, by `quick`.
library, quick = ctypes.CDLL(cimpl.__file__), ctypes.PyDLL(cimpl.__file__)
for _library, _name, _result, *_arguments in (
    (library, "rd_kafka_topic_new", _pointer, _pointer, ctypes.c_char_p, _pointer),
    (library, "rd_kafka_topic_destroy", None, _pointer),
    (library, "rd_kafka_produce_batch", ctypes.c_int, _pointer, _int32, ctypes.c_int, _pointer, ctypes.c_int),
    (library, "rd_kafka_queue_new", _pointer, _pointer),
    (library, "rd_kafka_queue_get_partition", _pointer, _pointer, ctypes.c_char_p, _int32),
    (library, "rd_kafka_queue_forward", None, _pointer, _pointer),
    (library, "rd_kafka_queue_destroy", None, _pointer),
    (library, "rd_kafka_consume_batch_queue", ctypes.c_ssize_t, _pointer, ctypes.c_int, _pointer, ctypes.c_size_t),
    (quick, "rd_kafka_message_timestamp", ctypes.c_int64, _pointer, _pointer),
    (quick, "rd_kafka_message_destroy", None, _pointer),
):
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments


def handle(client: object) -> ctypes.c_void_p:
    """rd_kafka_t * of a confluent_kafka client: the extension type's first member, to which tests hold each version."""
    return ctypes.c_void_p.from_address(id(client) + object.__basicsize__)
