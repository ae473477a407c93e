"""librdkafka is called directly only where a check has shown that this works; otherwise confluent_kafka is used."""

import ctypes
import logging

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from fraudstream.errors import KafkaError
from fraudstream.kafka.consume import columns_consumer, librdkafka
from fraudstream.kafka.produce import columns_producer
from fraudstream.kafka.produce.columns_producer import ColumnsProducer, Messages


@pytest.fixture(autouse=True)
def asked_anew():
    librdkafka.usable.cache_clear()
    yield
    librdkafka.usable.cache_clear()


def test_the_installed_version_can_be_used(caplog):
    assert librdkafka.usable()
    assert caplog.text == ""


@pytest.mark.parametrize("offset", [0, 8, 24, 32, 40])
def test_a_handle_at_another_place_is_found_out_without_following_it(monkeypatch, caplog, offset):
    monkeypatch.setattr(librdkafka, "handle", lambda client: ctypes.c_void_p.from_address(id(client) + offset))
    assert not librdkafka.usable()
    assert not librdkafka.usable()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "handle" in caplog.text


@pytest.mark.parametrize("address", [0, 1, 8, 2**47 - 8])
def test_an_address_without_memory_is_found_out(address):
    assert librdkafka._memory(address, 8) is None


def test_a_library_without_a_function_is_found_out(monkeypatch, caplog):
    functions = (*librdkafka._FUNCTIONS, (librdkafka.library, "rd_kafka_no_such_function", None))
    monkeypatch.setattr(librdkafka, "_FUNCTIONS", functions)
    assert not librdkafka.usable()
    assert "rd_kafka_no_such_function" in caplog.text


def test_messages_that_arent_as_the_header_says_are_refused_before_their_addresses_are_followed():
    message = np.zeros(1, librdkafka.MESSAGE)
    message["topic"], message["value"], message["value_bytes"] = 1, 1, 2**31 - 1
    message["key"], message["key_bytes"] = 1, 2**31 - 1
    columns_consumer._require_plausible(message)
    for wrong in ({"topic": 0}, {"value": 0}, {"value_bytes": 2**40}, {"key_bytes": 2**63}, {"partition": -7}):
        broken = message.copy()
        for name, content in wrong.items():
            broken[name] = content
        with pytest.raises(KafkaError, match=r"requirements\.txt"):
            columns_consumer._require_plausible(broken)


def test_columns_made_of_addresses_are_valid_arrow():
    values = [b"", b"a", b"0123456789ab", b"0123456789abc", bytes(range(256)) * 50, b""]
    held = [ctypes.create_string_buffer(value, max(1, len(value))) for value in values]
    addresses = np.array([ctypes.addressof(memory) for memory in held], np.uint64)
    addresses[-1] = 0
    lengths = np.array([len(value) for value in values], np.uint64)
    for chosen in ([0, 1, 2, 3, 4, 5], [5], [3, 4], [4, 3, 1], []):
        column = columns_consumer._binary_column(addresses[chosen], lengths[chosen])
        column.validate(full=True)
        assert column.to_pylist() == [None if index == 5 else values[index] for index in chosen]
        views = columns_consumer._views(addresses[chosen], lengths[chosen])
        views.validate(full=True)


def test_where_it_cant_be_used_messages_are_produced_one_by_one(monkeypatch):
    monkeypatch.setattr(columns_producer, "usable", lambda: False)
    produced = []

    class Counting(Producer):
        def produce_batch(self, topic, messages):
            produced.extend((topic, message["key"], message["value"]) for message in messages)
            return len(messages)

    messages = Messages.of(pa.array(["a", "bc", "d"]), pa.array([b"1", b"", b"23"]))
    with ColumnsProducer(Counting({"log_level": 0})) as columns:
        columns.produce("topic", messages.where(np.array([True, False, True])))
    assert produced == [("topic", b"a", b"1"), ("topic", b"d", b"23")]
