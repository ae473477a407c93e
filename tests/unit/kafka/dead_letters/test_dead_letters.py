"""Dead letters contain the whole record, unless it is too large for their topic, and can be read back."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.errors import RecordError
from fraudstream.kafka.dead_letters import DeadLetters, producer
from fraudstream.kafka.dead_letters import letters as module
from fraudstream.kafka.dead_letters.letters import DeadLetter, read_dead_letters
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

#: The limit of message.max.bytes in librdkafka and in brokers, by default.
TAKEN = 1_000_000


class Producer:
    """Refuses the same records as the real producer."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []

    def produce(self, topic: str, **record: Any) -> None:
        headers = sum(len(name) + len(value or b"") for name, value in record["headers"])
        assert len(record["key"] or b"") + len(record["value"] or b"") + headers < TAKEN
        self.sent.append(record | {"topic": topic})


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    monkeypatch.setattr(producer, "Producer", Producer)
    return DeadLetters(Settings())


class Message:
    """A letter as a reader of the dead-letter topic gets it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def topic(self) -> str:
        return str(self._record["topic"])

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 3

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def __getattr__(self, name: str) -> Any:
        return lambda: self._record.get(name)


def letter(key: bytes | None, value: bytes | None, headers: tuple[Any, ...] = (), reason: str = "r") -> DeadLetter:
    return DeadLetter(Partition(NON_FRAUD_TRANSACTION, 2), 7, 1_696_118_400_000, key, value, headers, reason)


def sent(letters: DeadLetters, of: DeadLetter) -> dict[str, Any]:
    letters.put(of)
    return letters._producer.sent[-1]  # type: ignore[attr-defined, no-any-return]


contents = st.none() | st.binary(max_size=20)
headers = st.lists(
    st.tuples(st.sampled_from(["topic", "reason", "offset", "redriven", "trace", ""]), contents), max_size=5
)


@given(contents, contents, headers, st.text(max_size=2_000))
def test_a_letter_is_read_back_as_it_was_written(
    key: bytes | None, value: bytes | None, own: list[Any], reason: str
) -> None:
    written = letter(key, value, tuple(own), reason)
    read = DeadLetter.of(Message(written.to_message()))  # type: ignore[arg-type]
    assert read == replace(written, headers=own, written_at=1_700_000_000_000)


def test_a_letter_of_an_older_version_is_read() -> None:
    headers = [("topic", b"t"), ("partition", b"1"), ("offset", b"5"), ("reason", b"no value")]
    read = DeadLetter.of(Message({"topic": "t.dead_letter", "headers": headers}))  # type: ignore[arg-type]
    assert (read.partition, read.offset, read.timestamp, read.reason) == (Partition("t", 1), 5, None, "no value")


def test_a_marker_says_which_letter_was_produced_again() -> None:
    marker = DeadLetter.of(Message(letter(b"k", b"v").to_marker(5)))  # type: ignore[arg-type]
    assert (marker.partition, marker.offset, marker.redriven_at) == (Partition(NON_FRAUD_TRANSACTION, 2), 7, 5)


def read_back(monkeypatch: pytest.MonkeyPatch, *records: dict[str, Any]) -> list[DeadLetter]:
    there = [Message(record) for record in records]
    reader = nullcontext(SimpleNamespace(read=lambda: there))
    monkeypatch.setattr(module, "TopicReader", lambda settings, topic: reader)
    return read_dead_letters(Settings(), NON_FRAUD_TRANSACTION)


def test_a_letter_of_a_topic_that_was_made_anew_hides_none_that_has_its_offset_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = letter(b"k", b"old"), replace(letter(b"k", b"new"), timestamp=1_700_000_000_000)
    found = read_back(monkeypatch, old.to_message(), old.to_marker(5), new.to_message())
    assert [(one.value, one.redriven_at) for one in found] == [(b"old", 5), (b"new", None)]
    found = read_back(monkeypatch, old.to_message(), old.to_marker(5), new.to_message(), new.to_marker(6))
    assert [(one.value, one.redriven_at) for one in found] == [(b"old", 5), (b"new", 6)]


def test_a_letter_is_there_once_and_a_marker_of_an_older_version_is_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    once = letter(b"k", b"v")
    marker = once.to_marker(5)
    marker["headers"] = [(name, text) for name, text in marker["headers"] if name != "timestamp"]
    (found,) = read_back(monkeypatch, once.to_message(), once.to_message(), marker)
    assert found.redriven_at == 5


@pytest.mark.parametrize(
    "headers", [None, [], [("topic", b"t")], [("topic", b"t"), ("partition", b"x"), ("offset", b"1")]]
)
def test_what_else_lies_there_is_named(headers: Any) -> None:
    with pytest.raises(RecordError, match=r"t.dead_letter\[0\] offset 3"):
        DeadLetter.of(Message({"topic": "t.dead_letter", "headers": headers}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value"), [(b"k", b"v"), (None, None), (b"", b""), (b"k" * 50_000, b"v" * 900_000)])
def test_a_letter_is_the_whole_record(letters: DeadLetters, key: bytes | None, value: bytes | None) -> None:
    record = sent(letters, letter(key, value, (("trace", b"1"),), "r" * 5_000))

    assert (record["key"], record["value"]) == (key, value)
    assert record["headers"][0] == ("trace", b"1")
    assert "cut" not in dict(record["headers"])


@pytest.mark.parametrize(
    ("key", "value", "headers"), [(1, 1_048_000, 0), (1_048_000, 1, 0), (600_000, 600_000, 0), (1, 1, 1_000_000)]
)
def test_of_an_oversized_record_the_letter_has_the_beginning_and_says_so(
    letters: DeadLetters, key: int, value: int, headers: int
) -> None:
    record = sent(letters, letter(b"k" * key, b"v" * value, (("h", b"h" * headers),)))

    assert (b"k" * key).startswith(record["key"])
    assert (b"v" * value).startswith(record["value"])
    own = dict(record["headers"])
    assert own["cut"] == f"key of {key} bytes, value of {value} bytes, 1 headers of {headers + 1} bytes".encode()
    assert {name: own[name] for name in ("topic", "partition", "offset", "timestamp")} == {
        "topic": NON_FRAUD_TRANSACTION.encode(),
        "partition": b"2",
        "offset": b"7",
        "timestamp": b"1696118400000",
    }
