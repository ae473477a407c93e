"""Dead letters of records that are too large for the dead-letter topic."""

from typing import Any

import pytest
from fraudstream.kafka import dead_letters
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings

#: What librdkafka's message.max.bytes and the brokers' message.max.bytes let through by default.
TAKEN = 1_000_000


class Producer:
    """Refuses what the real one refuses."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []

    def produce(self, topic: str, **record: Any) -> None:
        headers = sum(len(name) + len(value) for name, value in record["headers"].items())
        assert len(record["key"] or b"") + len(record["value"] or b"") + headers < TAKEN
        self.sent.append(record)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    monkeypatch.setattr(dead_letters, "Producer", Producer)
    return DeadLetters(Settings())


def sent(letters: DeadLetters, key: bytes | None, value: bytes | None) -> dict[str, Any]:
    letters.put(Partition(NON_FRAUD_TRANSACTION, 2), 7, key, value, "r" * 5_000)
    return letters._producer.sent[-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("key", "value"), [(b"k", b"v"), (None, None), (b"", b""), (b"k" * 50_000, b"v" * 900_000)])
def test_a_letter_is_the_whole_record(letters: DeadLetters, key: bytes | None, value: bytes | None) -> None:
    record = sent(letters, key, value)

    assert (record["key"], record["value"]) == (key, value)
    assert "cut" not in record["headers"]


@pytest.mark.parametrize(("key", "value"), [(1, 1_048_000), (1_048_000, 1), (600_000, 600_000)])
def test_of_an_oversized_record_the_letter_has_the_beginning_and_says_so(
    letters: DeadLetters, key: int, value: int
) -> None:
    record = sent(letters, b"k" * key, b"v" * value)

    assert (b"k" * key).startswith(record["key"])
    assert (b"v" * value).startswith(record["value"])
    assert record["headers"]["cut"] == f"key of {key} bytes, value of {value} bytes"
    assert {name: record["headers"][name] for name in ("topic", "partition", "offset")} == {
        "topic": NON_FRAUD_TRANSACTION,
        "partition": "2",
        "offset": "7",
    }
