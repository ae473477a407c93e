"""What the audit finds on real brokers: transaction markers, open transactions, dead letters, late answers."""

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Message, Producer
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.publisher import Status
from fraudstream.cases.events import MAIL_BOUNCED, CaseEvent, CaseEvents
from fraudstream.dataset import open_source
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.audit.result import LAKE
from fraudstream.lake.audit.topics import TopicPartitionContent, TopicsContent, read_topics
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.settings import Settings

from tests.fakes.cases import answered
from tests.integration.pipeline import consumer, decoded, good_row, lake_consumer, paysim, publisher, with_tables

pytestmark = pytest.mark.integration

#: The partition to which these tests write without the publisher's transactions.
PLACE = Partition(NON_FRAUD_TRANSACTION, 0)
TIME_MS = 1_700_000_000_000


def transaction(case: str) -> dict[str, Any]:
    """A valid transaction."""
    money = dict.fromkeys(("oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"), 0)
    return {
        **{"idTransaction": case, "timestamp": TIME_MS, "step": 1, "type": "PAYMENT", "amount": 100},
        **{"nameOrig": "C1", "nameDest": "M1", "isFraud": 0, "isFlaggedFraud": 0},
        **money,
    }


def answer(case: str, status: Status) -> dict[str, Any]:
    """A valid answer."""
    return answered(transaction(case), status, TIME_MS)


class Written:
    """A producer that records the places of its records."""

    def __init__(self, settings: Settings, **properties: Any) -> None:
        self.places: list[tuple[Partition, int]] = []
        self.producer = Producer(settings.kafka_config(**properties))

    def write(self, topic: str, value: bytes, **where: Any) -> None:
        """Writes a record and waits until the brokers have it."""
        self.producer.produce(topic, value=value, on_delivery=self._delivered, **where)
        assert self.producer.flush(30) == 0

    def _delivered(self, error: object, message: Message) -> None:
        assert error is None
        self.places.append((Partition(str(message.topic()), message.partition() or 0), message.offset() or 0))


@pytest.fixture
def transactional(settings: Settings) -> Iterator[Written]:
    """A transactional producer that leaves no transaction open."""
    written = Written(settings, **{"transactional.id": f"test-{uuid.uuid4().hex}"})
    written.producer.init_transactions(30)
    written.producer.begin_transaction()
    yield written
    written.producer.abort_transaction(30)


def at(content: TopicsContent, partition: Partition = PLACE) -> TopicPartitionContent:
    return content.partitions[partition]


def test_committed_rows_are_expected_and_transaction_markers_are_not(settings: Settings, tmp_path: Path) -> None:
    before = read_topics(settings)
    path = paysim([good_row(n, fraud=n % 2) for n in range(1, 41)], tmp_path)
    publisher(settings, path).run()

    after = read_topics(settings)

    for topic in (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION):
        partitions = [partition for partition in after.partitions if partition.topic == topic]
        grown = [len(at(after, p).expected) - len(at(before, p).expected) for p in partitions]
        assert sum(grown) == 20
        # In each partition with rows the transaction marker takes one offset.
        moved = [at(after, p).end - at(before, p).end for p in partitions]
        assert moved == [rows + 1 if rows else 0 for rows in grown]
    prefix = open_source(str(path), None).id_prefix
    frauds = {row["idTransaction"] for row in decoded(settings, FRAUD_TRANSACTION, prefix)}
    assert frauds <= after.cases.keys()
    assert not frauds & after.answers.keys()
    assert not frauds & set(after.unknown)


def test_an_aborted_transaction_at_the_end_is_read_past_and_not_expected(
    settings: Settings, transactional: Written
) -> None:
    before = at(read_topics(settings))
    value = Codec.for_topic(NON_FRAUD_TRANSACTION, settings).encode(transaction("aborted"))
    for _ in range(3):
        transactional.write(NON_FRAUD_TRANSACTION, value, partition=PLACE.number)
    transactional.producer.abort_transaction(30)

    after = at(read_topics(settings))

    assert np.array_equal(after.expected, before.expected)
    assert after.end == transactional.places[-1][1] + 2  # after its marker
    transactional.producer.begin_transaction()


def test_an_open_transaction_at_the_end_is_not_waited_for_and_hides_what_comes_after_it(
    settings: Settings, transactional: Written
) -> None:
    value = Codec.for_topic(NON_FRAUD_TRANSACTION, settings).encode(transaction("open"))
    before = at(read_topics(settings))
    transactional.write(NON_FRAUD_TRANSACTION, value, partition=PLACE.number)
    behind = Written(settings)
    behind.write(NON_FRAUD_TRANSACTION, value, partition=PLACE.number)

    started = time.monotonic()
    while_open = at(read_topics(settings))
    assert time.monotonic() - started < 20
    transactional.producer.commit_transaction(30)
    after = at(read_topics(settings))

    assert while_open.end == transactional.places[0][1]
    assert np.array_equal(while_open.expected, before.expected)
    new = [offset for _, offset in (*transactional.places, *behind.places)]
    assert np.setdiff1d(after.expected, before.expected).tolist() == new
    transactional.producer.begin_transaction()


def test_a_dead_letter_is_not_expected_in_the_lake(settings: Settings, lake: Store) -> None:
    poison = Written(settings)
    for value in (b"poison", b"\x00", b"\x00" + (2_000_000_000).to_bytes(4, "big") + b"?"):
        poison.write(NON_FRAUD_TRANSACTION, value, partition=PLACE.number)
    lake_consumer(settings, lake, NON_FRAUD_TRANSACTION).run()

    content = at(read_topics(settings))

    bad = {offset for _, offset in poison.places}
    assert bad <= set(content.offsets.tolist())
    assert bad <= set(content.dead.tolist())
    assert not bad & set(content.expected.tolist())
    report = audit(settings, with_tables(lake))
    line = next(line for line in report.lines if (line.partition, line.target) == (PLACE, LAKE))
    assert (line.missing_count, line.behind) == (0, 0)
    assert not report.ok
    check = next(check for check in report.checks if check.name == "dead letters")
    assert any(text.startswith(f"{PLACE}: {len(content.dead)} (offsets ") for text in check.where)


def test_a_fraud_notice_that_bounced_after_a_green_audit_makes_the_next_one_red(
    settings: Settings, lake: Store
) -> None:
    before = audit(settings, with_tables(lake)).position
    case = f"case-{uuid.uuid4().hex}"
    events = CaseEvents(settings)
    events.publish([CaseEvent(case, MAIL_BOUNCED, "test", details={"kind": "fraud_notice"})])

    report = audit(settings, with_tables(lake), position=before)

    check = next(check for check in report.checks if check.name == "fraud notices bounced or suppressed")
    assert not report.ok
    assert check.found == 1
    assert re.fullmatch(rf"case_event\[\d\]: bounced, case {case} \(offset \d+\)", check.where[0])
    accepted = audit(settings, with_tables(lake), position=report.position)
    assert next(one for one in accepted.checks if one.name == check.name).found == 0


def test_only_the_first_answer_of_a_case_is_expected(settings: Settings, lake: Store) -> None:
    codec = Codec.for_topic(FRAUD_CONFIRMATION, settings)
    case, other = (f"case-{uuid.uuid4().hex}" for _ in range(2))
    answers = Written(settings)
    for id_transaction, status in (
        (case, "REPORTED_FRAUD"),
        (other, "NO_RESPONSE"),
        (case, "REPORTED_NOT_FRAUD"),
        (case, "REPORTED_FRAUD"),
    ):
        answers.write(FRAUD_CONFIRMATION, codec.encode(answer(id_transaction, status)), key=id_transaction.encode())
    poison = Written(settings)
    poison.write(FRAUD_CONFIRMATION, b"poison", key=case.encode())
    sink = JsonSink(
        AppendingChain(lake, FOLDER_OF[FRAUD_CONFIRMATION]),
        LINES_OF[FRAUD_CONFIRMATION],
        flush_rows=1_000,
        flush_seconds=1.0,
    )
    consumer(settings, FRAUD_CONFIRMATION, "write_lake", FirstAnswers(sink)).run()

    content = read_topics(settings)

    assert [content.answers[name] for name in (case, other)] == [("REPORTED_FRAUD", TIME_MS), ("NO_RESPONSE", TIME_MS)]
    assert {case, other} <= set(content.unknown), "nobody produced their transactions"
    (first, others, *late), ((bad_place, bad),) = answers.places, poison.places
    for place, offset in (first, others):
        assert offset in at(content, place).expected
    for place, offset in late:
        assert offset in at(content, place).late
        assert offset not in at(content, place).expected
    assert bad in at(content, bad_place).dead
    assert bad not in at(content, bad_place).expected
    report = audit(settings, with_tables(lake))
    lines = [line for line in report.lines if line.partition.topic == FRAUD_CONFIRMATION and line.target == LAKE]
    assert [(line.missing_count, line.duplicated_count, line.behind) for line in lines] == [(0, 0, 0)] * len(lines)
