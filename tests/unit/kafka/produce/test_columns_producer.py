"""Messages point to the data of their columns, and messages that the client refuses raise an error."""

import ctypes

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaException, Producer
from fraudstream.kafka.produce.columns_producer import ColumnsProducer, Messages
from hypothesis import given
from hypothesis import strategies as st


def found(messages: Messages) -> list[tuple[bytes, bytes]]:
    """Keys and values at the addresses in the structs."""
    return [
        (
            ctypes.string_at(int(struct["key"]), int(struct["key_bytes"])),
            ctypes.string_at(int(struct["value"]), int(struct["value_bytes"])),
        )
        for struct in messages.structs
    ]


@given(st.lists(st.tuples(st.text(min_size=1), st.binary(min_size=1), st.booleans())), st.integers(0, 5))
def test_keys_and_values_of_sliced_and_chosen_rows_are_found_at_their_addresses(
    rows: list[tuple[str, bytes, bool]], first: int
) -> None:
    keys = pa.array([key for key, _, _ in rows], pa.string()).slice(first)
    values = pa.array([value for _, value, _ in rows], pa.binary()).slice(first)
    mask = np.array([chosen for _, _, chosen in rows[first:]], bool)

    messages = Messages.of(keys, values).where(mask)

    expected = [(key.encode(), value) for key, value, chosen in rows[first:] if chosen]
    assert found(messages) == expected
    assert found(messages.part(1, 2)) == expected[1:3]


def test_the_client_has_what_it_took_and_names_what_it_did_not_take() -> None:
    producer = Producer({"queue.buffering.max.messages": 5})  # has no broker and sends nothing
    messages = Messages.of(pa.array(["key"] * 8), pa.array([b"value"] * 8))

    with ColumnsProducer(producer) as columns, pytest.raises(KafkaException, match=r"3 of 8 rows for topic .*[Qq]ueue"):
        columns.produce("topic", messages)

    assert len(producer) == 5
    producer.purge()
