"""Up to which offset a rebase finds lake and topic equal, with a dead letter whose schema has become known."""

from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.rebase import agreement as module
from fraudstream.lake.rebase.agreement import agreement
from fraudstream.settings import Settings

from tests.unit.lake.audit.audited_pipeline import Message
from tests.unit.lake.rows import MIDNIGHT_MS, batch

PLACE = Partition(NON_FRAUD_TRANSACTION, 0)


def letter(offset: int, timestamp: int | None) -> DeadLetter:
    return DeadLetter(PLACE, offset, timestamp, None, b"", [], "unknown schema")


@pytest.mark.parametrize(
    ("letters", "agrees"),
    [
        ([], 2),
        ([letter(2, MIDNIGHT_MS)], 5),
        ([letter(2, None)], 5),
        ([letter(2, MIDNIGHT_MS - 1)], 2),  # of a topic that was deleted since
    ],
)
def test_a_dead_letter_is_not_missing_in_the_lake(
    monkeypatch: pytest.MonkeyPatch, letters: list[DeadLetter], agrees: int
) -> None:
    def decode(messages: list[Any]) -> DecodedMessages:
        return DecodedMessages(batch([message.place for message in messages]).rows, messages, [])

    monkeypatch.setattr(module, "read_dead_letters", lambda settings, topic: letters)
    monkeypatch.setattr(module.Codec, "for_topic", lambda topic, settings: SimpleNamespace(decode_messages=decode))
    monkeypatch.setattr(module, "_messages", lambda *_: iter([[Message(offset) for offset in range(5)]]))
    monkeypatch.setattr(module, "_lake_records", lambda *_: {n: (f"tx-{n}", MIDNIGHT_MS) for n in range(5) if n != 2})
    assert agreement(Settings(), None, PLACE, 5) == agrees  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "lake", "agrees"),
    [
        # Record 2 is the second one of its case: a late answer, which the lake doesn't have, or an event, which it has.
        (FRAUD_CONFIRMATION, {0: "a", 1: "b"}, 3),
        (CASE_EVENT, {0: "a", 1: "b", 2: "a"}, 3),
        (CASE_EVENT, {0: "a", 1: "b", 3: "a"}, 2),
        # The lake has another record there.
        (FRAUD_CONFIRMATION, {0: "a", 1: "b", 2: "c"}, 2),
        (CASE_EVENT, {0: "a", 1: "b", 2: "c"}, 2),
    ],
)
def test_a_later_record_of_a_case_is_compared_too(
    monkeypatch: pytest.MonkeyPatch, topic: str, lake: dict[int, str], agrees: int
) -> None:
    records = [(offset, (case, MIDNIGHT_MS), False) for offset, case in enumerate("abab")]
    monkeypatch.setattr(module, "_topic_records", lambda settings, partition, end: iter(records[:end]))
    monkeypatch.setattr(module, "_lake_records", lambda *_: {n: (case, MIDNIGHT_MS) for n, case in lake.items()})
    assert agreement(Settings(), None, Partition(topic, 0), 3) == agrees  # type: ignore[arg-type]
