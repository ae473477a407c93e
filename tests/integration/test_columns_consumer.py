"""Both readers read what was produced, with the mock broker that librdkafka contains for tests."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from fraudstream.kafka.consume.columns_consumer import ColumnsConsumer
from fraudstream.kafka.consume.message_consumer import Failure, MessageConsumer, RecordsReader
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.integration

TIME = 1_700_000_000_000
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
Reader = Callable[[Consumer, str], RecordsReader]
texts = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1), texts), max_size=3)
READERS: dict[str, Reader] = {
    "columns": lambda consumer, topic: ColumnsConsumer(consumer, topic, 7),
    "messages": lambda consumer, _: MessageConsumer(consumer, 7),
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


@pytest.fixture(scope="module")
def producer() -> Iterator[Producer]:
    producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
    yield producer
    producer.flush(5)


def produced(producer: Producer, topic: str, records: list[Record]) -> None:
    for index, (key, value, own) in enumerate(records):
        producer.produce(topic, key=key, value=value, headers=own, partition=0, timestamp=TIME + index)
    assert producer.flush(10) == 0


def consumer_of(producer: Producer) -> Consumer:
    (broker,) = producer.list_topics(timeout=5).brokers.values()
    return Consumer(
        {
            "bootstrap.servers": f"{broker.host}:{broker.port}",
            "group.id": f"group-{time.monotonic_ns()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )


def read(
    producer: Producer, reader: Reader, topic: str, start: int = 0
) -> tuple[list[tuple[int, int, Record]], list[Failure]]:
    """Offset, milliseconds after TIME and record of all messages of partition 0 from `start` on; and other events."""
    consumer = consumer_of(producer)
    reading = reader(consumer, topic)
    reading.forward_queues([0])
    consumer.assign([TopicPartition(topic, 0, start)])
    found: list[tuple[int, int, Record]] = []
    deadline = time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline
        records, failures = reading.read(0.2)
        for number, part in records.items():
            assert number == 0
            part.values.validate(full=True)
            around = [part.key_and_headers(index) for index in range(len(part))]
            contents = [(key, value, own) for (key, own), value in zip(around, part.values.to_pylist(), strict=True)]
            times = part.timestamps - TIME
            found += zip(part.offsets.tolist(), times.tolist(), contents, strict=True)
        if failures:
            reading.close()
            consumer.close()
            return found, failures


@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", READERS)
@given(records=st.lists(st.tuples(texts, texts, headers), min_size=1, max_size=30))
def test_every_field_of_every_record_is_read_in_order_and_then_the_end(
    producer: Producer, records: list[Record], name: str
) -> None:
    topic = f"fields-{time.monotonic_ns()}"
    produced(producer, topic, records)
    found, (end,) = read(producer, READERS[name], topic)
    assert found == [(index, index, record) for index, record in enumerate(records)]
    assert (end.partition, end.offset, end.error.code()) == (0, len(records), KafkaError._PARTITION_EOF)


def test_large_and_small_values_keep_their_bytes(producer: Producer, reader: Reader) -> None:
    values = [bytes([number % 256]) * size for number, size in enumerate([0, 1, 11, 12, 13, 900_000, 12, 500_000])]
    topic = f"sizes-{time.monotonic_ns()}"
    produced(producer, topic, [(None, value, []) for value in values])
    found, _ = read(producer, reader, topic, start=3)
    assert [(offset, value) for offset, _, (_, value, _) in found] == list(enumerate(values))[3:]


def test_what_the_brokers_refuse_is_told_with_its_reason(producer: Producer, reader: Reader) -> None:
    topic = f"short-{time.monotonic_ns()}"
    produced(producer, topic, [(None, b"value", [])])
    _, (failure,) = read(producer, reader, topic, start=99)
    assert failure.partition == 0
    assert failure.error.code() == KafkaError._AUTO_OFFSET_RESET
    assert "offset" in failure.error.str().lower()
