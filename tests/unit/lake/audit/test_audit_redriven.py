"""What the audit expects of an answer that was a dead letter and was redriven."""

from types import SimpleNamespace

import pytest
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.dead_letters.invalid_records import Places
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit import topics as reading
from fraudstream.lake.audit.topics import read_topics
from fraudstream.settings import Settings

from tests.unit.lake.audit.audited_pipeline import Message, Read
from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch, row

ANSWERS, CASES = Partition(FRAUD_CONFIRMATION, 0), Partition(FRAUD_TRANSACTION, 0)


def test_the_copy_is_expected_and_the_dead_letter_is_not_though_its_schema_is_known_by_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = {
        FRAUD_CONFIRMATION: {5: answer(1, "REPORTED_FRAUD"), 9: answer(1, "REPORTED_FRAUD")},
        FRAUD_TRANSACTION: {0: row(1), 1: row(2)},
    }
    dead: dict[Partition, Places] = {ANSWERS: {5: {MIDNIGHT_MS}}, CASES: {1: {None}}}

    def reader(settings: Settings, topic: str, starts: object) -> Read:
        there = records.get(topic, {})
        partition = Partition(topic, 0)
        read = Read([(partition, [Message(offset) for offset in there])] if there else [])
        read.bounds = {partition: (0, max(there, default=-1) + 1)}
        return read

    def codec(topic: str, settings: Settings) -> SimpleNamespace:
        def decode(messages: list[Message]) -> DecodedMessages:
            rows = [records[topic][message.place] | {"channel": "LINK"} for message in messages]
            return DecodedMessages(batch([message.place for message in messages], rows=rows).rows, messages, [])  # type: ignore[arg-type]

        return SimpleNamespace(decode_messages=decode)

    monkeypatch.setattr(reading, "Reader", reader)
    monkeypatch.setattr(reading, "read_letters", lambda settings, topic: (dead if topic in records else {}, {}))
    monkeypatch.setattr(reading, "Codec", SimpleNamespace(for_topic=codec))
    content = read_topics(Settings())
    answers = content.partitions[ANSWERS]
    assert (answers.dead.tolist(), answers.late.tolist(), answers.expected.tolist()) == ([5], [], [9])
    assert content.cases.keys() == {"tx-1"}
