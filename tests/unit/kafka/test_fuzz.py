"""Arbitrary records on a topic: each is in every group's effects or one dead letter; lake, mail and cases accept it.

Tests the real codec and the handling of invalid records, with logs in memory. tests/fuzz does it on the real stack.
"""

import json
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.cases.events import CaseEvent
from fraudstream.cases.links.signed import Links
from fraudstream.cases.opening import case_of, described, transaction_of
from fraudstream.cases.watch.state import CaseState
from fraudstream.desk.case_index import CaseIndex, Placed
from fraudstream.desk.queue import STATES, Filter
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.consume.message_consumer import Records
from fraudstream.kafka.dead_letters.invalid_records import InvalidRecords
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_PROGRESS,
    MAIL_RETRY,
    NON_FRAUD_TRANSACTION,
    Batch,
    Partition,
)
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, day_of
from fraudstream.lake.table.schemas import rows_of_lines
from fraudstream.mail.letter.letters import KINDS, LetterWriter, log_lines
from fraudstream.settings import Settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.cases import transaction
from tests.fakes.dead_letters import LetterTopic
from tests.fuzz.values import FOREIGN, Value, Values

NOW = 1_700_000_000_000
TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, FRAUD_CONFIRMATION, CASE_EVENT, MAIL_RETRY, INGEST_PROGRESS)
IDS = {name: 100 + index for index, name in enumerate(FOREIGN)}


class Registry:
    """A registry with the topics' own schemas and the foreign ones."""

    def identifier(self, topic: str, schema: str) -> int:
        return TOPICS.index(topic) + 1

    def schema(self, identifier: int, topic: str) -> RegisteredSchema | None:
        if identifier <= len(TOPICS):
            return RegisteredSchema(schema_text(TOPICS[identifier - 1]))
        return next((RegisteredSchema(*FOREIGN[name]) for name, known in IDS.items() if known == identifier), None)


def codec(topic: str) -> Codec:
    return Codec(topic, Registry())  # type: ignore[arg-type]


def log_of(topic: str, seed: int, size: int) -> list[Value]:
    values = Values(topic, codec(topic).encode, IDS, prefix="fuzz", seed=seed, now=NOW)
    return [values.next() for _ in range(size)]


def read(topic: str, log: list[Value], letters: LetterTopic, rng: random.Random, *, sends: bool) -> list[Batch]:
    """The records that a group's sink gets, in batches of any size; a group that must wait for letters starts again."""
    partition = Partition(topic, 0)
    decoder = codec(topic)
    group = InvalidRecords(topic, "group", dead_letters=letters if sends else None, known=letters, max_share=1.0)  # type: ignore[arg-type]
    batches = []
    first = 0
    while first < len(log):
        part = log[first : first + rng.randrange(1, 20)]
        values = pa.array([value.content for value in part], pa.binary())
        timestamps = np.array([value.timestamp for value in part])
        records = Records(np.arange(first, first + len(part)), timestamps, values, lambda _: (None, []))
        rows, invalid = decoder.decode_rows(values, timestamps)
        dead = group.settle(partition, records, invalid, decoder.foreign(values))
        assert dead is not None, "the group that sends the letters is ahead"
        assert len(rows) == len(part) - len(dead)
        rows.validate(full=True)
        kept = np.array(sorted(set(range(len(part))) - dead), np.int64)
        batches.append(Batch(partition, records.offsets[kept], timestamps[kept], rows, first + len(part)))
        first += len(part)
    return batches


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_every_record_is_in_the_effects_of_every_group_or_one_dead_letter(topic: str, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  no secret
    log, letters = log_of(topic, seed, 60), LetterTopic()
    groups = [read(topic, log, letters, rng, sends=sends) for sends in (True, False, False)]
    done = [[int(offset) for batch in batches for offset in batch.offsets] for batches in groups]
    dead = [letter.offset for letter in letters.letters]
    assert done[0] == done[1] == done[2]
    assert sorted(done[0] + dead) == list(range(len(log)))
    for offset, value in enumerate(log):
        if value.valid is not None:
            assert (offset in done[0]) is value.valid, value
    for letter in letters.letters:
        assert (letter.value, letter.timestamp) == (log[letter.offset].content, log[letter.offset].timestamp)
        assert letter.reason
    for batch in groups[0]:
        if topic in LINES_OF:
            take_in_the_lake(batch)
        if topic in KINDS:
            take_as_mails(batch)
        if topic == FRAUD_TRANSACTION:
            take_as_cases(batch)
        if topic == CASE_EVENT:
            take_as_events(batch)


def take_in_the_lake(batch: Batch) -> None:
    topic = batch.partition.topic
    lines = bytes(LINES_OF[topic](batch)) if len(batch) else b""
    table = rows_of_lines(FOLDER_OF[topic], "object", lines)
    assert table["offset"].to_pylist() == batch.offsets.tolist()
    assert table["idTransaction"].to_pylist() == batch.rows["idTransaction"].to_pylist()
    if topic == CASE_EVENT:
        assert table["details"].to_pylist() == batch.rows["details"].to_pylist()
    else:
        assert [int(amount * 100) for amount in table["amount"].to_pylist()] == batch.rows["amount"].to_pylist()
    assert all(day_of(timestamp).year == 2023 for timestamp in batch.timestamps.tolist())


def take_as_mails(batch: Batch) -> None:
    options = Settings(mail_safe_mode=False)
    written = LetterWriter(options, Links(options)).letters(batch, KINDS[batch.partition.topic])
    assert [letter.offset for letter in written] == batch.offsets.tolist()
    for letter in written:
        letter.mail.status = letter.mail.status or "sent"
    assert len(log_lines(batch.partition, written).splitlines()) == len(batch)


def take_as_cases(batch: Batch) -> None:
    for row in batch.rows.to_pylist():
        case = case_of(row, datetime.fromtimestamp(NOW / 1000, UTC), timedelta(hours=72))
        assert "\\u0000" not in json.dumps(case), "Postgres' JSON has no NUL"
        assert transaction_of(case)["amount"] == row["amount"]
        assert described(case)


def take_as_events(batch: Batch) -> None:
    """Reads the batch as the desk and watch_cases do, as events of one case."""
    index, watched = CaseIndex(timedelta(hours=72)), CaseState("case-1", datetime.now(UTC), batch)
    index.add_case(transaction("case-1"), Placed(0, 0, NOW))
    for offset, row in zip(batch.offsets.tolist(), batch.rows.to_pylist(), strict=True):
        record = row | {"idTransaction": "case-1", "at": row["at"].replace(tzinfo=UTC)}
        index.add_event(record, Placed(0, offset, NOW))
        watched.happened(CaseEvent.of(record))
    known = index.case("case-1")
    assert known is not None
    assert 0 <= watched.reminded <= 1
    assert known.queued in index.queue(Filter(states=STATES), datetime.now(UTC)).cases
