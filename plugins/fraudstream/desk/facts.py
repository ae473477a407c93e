"""Collects what is known of one transaction, from the lake first, then from the topics for what the lake doesn't have.

1. lake folder fraud_confirmation/ and, if the transaction is not a fraud, transaction/: the row has the record's place
2. without a row: the transaction topics, from the ends of the lake's chains on
3. lake folder email_confirmation/, from the record's day on
4. for a fraud: topics fraud_confirmation and case_event, in the partition of the id's key; the claim of its DAG run
5. topic ingest_progress: the source file from which the first part of the id is derived
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from fraudstream import money
from fraudstream.cases.claims import Case, Plan, claim_days
from fraudstream.cases.opening import FOLDER
from fraudstream.dataset.source.source import ID_PREFIX_DIGITS
from fraudstream.desk.topic_search import Hit, Searched, TopicSearch
from fraudstream.errors import RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_PROGRESS,
    MAIL_RETRY,
    NON_FRAUD_TRANSACTION,
    Partition,
)
from fraudstream.kafka.topic.topic_reader import TopicReader
from fraudstream.lake.query.lookup import Found, look_up
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import FOLDER_OF, FRAUD_CASES, MAILS, TRANSACTIONS, object_prefix, parse_object_name
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

#: Maximum duration of the search of one topic.
SECONDS = 20.0
_CASE_TOPICS = (FRAUD_TRANSACTION, FRAUD_CONFIRMATION)


@dataclass(frozen=True, slots=True)
class Place:
    """A record's partition, offset and append time."""

    partition: Partition
    offset: int
    at: datetime

    def __str__(self) -> str:
        return f"topic {self.partition.topic}, partition {self.partition.number}, offset {self.offset}"


@dataclass(frozen=True, slots=True)
class Opened:
    """The DAG run that a case is in, and the case as the run's conf has it."""

    run_id: str
    case: Case


@dataclass(slots=True)
class Facts:
    """All that was found; None or an empty list: nothing was found."""

    id_transaction: str
    place: Place | None = None
    #: The transaction's columns, money as Decimal.
    payment: dict[str, Any] = field(default_factory=dict)
    #: The transaction's row in the lake.
    row: Found | None = None
    mails: list[Found] = field(default_factory=list)
    #: In log order; the last staff decision, otherwise the first answer, is the case's outcome.
    answers: list[Hit] = field(default_factory=list)
    #: Rows of answers in the lake.
    outcomes: list[Found] = field(default_factory=list)
    events: list[Hit] = field(default_factory=list)
    opened: Opened | None = None
    #: Address of the source file; None: no file of this id is known; empty: it wasn't searched for.
    source: str | None = ""
    searched: list[str] = field(default_factory=list)
    #: Whether topics were read from their beginnings.
    whole: bool = False

    @property
    def is_fraud(self) -> bool:
        """Whether the transaction is a case."""
        return self.place is not None and self.place.partition.topic == FRAUD_TRANSACTION


def gather(settings: Settings, lake: Lake, id_transaction: str, *, whole: bool = False) -> Facts:
    """Looks a transaction up in the lake and on the topics; the module's docstring has the order.

    :param whole: read topics from their beginnings, and all partitions, where the search would otherwise be shorter
    :raises KafkaError, LakeError: topics or lake can't be read
    """
    facts = Facts(id_transaction, whole=whole)
    # 1
    _from_lake(lake, facts)
    with TopicSearch(settings) as topics:
        # 2
        for topic in (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION) if facts.row is None else ():
            _from_topic(topics, lake, facts, topic, whole=whole)
            if facts.place is not None:
                break
        # 3
        if facts.place is not None:
            day, case = facts.place.at.date(), facts.is_fraud
            facts.mails = look_up(
                lake, MAILS, "idTransaction", id_transaction, first=day, objects_of=lambda p: has_mails_of(p, case=case)
            )
            facts.searched.append(f"lake folder {MAILS}/ from {day} on")
        # 4
        if facts.is_fraud and facts.place is not None:
            facts.answers = _of_key(topics, facts, FRAUD_CONFIRMATION, whole=whole)
            facts.events = _of_key(topics, facts, CASE_EVENT, whole=whole)
            facts.opened = find_run(lake.store, facts.place, id_transaction)
            facts.searched.append(f"lake folder {FOLDER}/ of partition {facts.place.partition}")
    # 5
    facts.source = _source(settings, id_transaction)
    facts.searched.append(f"topic {INGEST_PROGRESS}")
    return facts


def _from_lake(lake: Lake, facts: Facts) -> None:
    for folder in (FRAUD_CASES, TRANSACTIONS):
        facts.searched.append(f"lake folder {folder}/")
        for found in look_up(lake, folder, "idTransaction", facts.id_transaction):
            if found.row["topic"] == FRAUD_CONFIRMATION:
                facts.outcomes.append(found)
            elif facts.row is None:
                topic, number, offset = found.record
                facts.row = found
                facts.place = Place(Partition(topic, number), offset, found.row["recordTimestamp"])
                facts.payment = found.row
        if facts.row is not None:
            return


def _from_topic(topics: TopicSearch, lake: Lake, facts: Facts, topic: str, *, whole: bool) -> None:
    ends = {} if whole else progress.ends(lake.store, FOLDER_OF[topic])
    starts = {number: ends.get(Partition(topic, number), 0) for number in topics.partitions(topic)}
    found = topics.search(topic, facts.id_transaction, starts, SECONDS)
    begin = "its beginning" if whole else "the end of the lake's chains"
    facts.searched.append(f"topic {topic} from {begin}: {_read(found)}")
    if found.hits:
        hit = found.hits[0]
        facts.place = Place(Partition(topic, hit.partition), hit.offset, hit.at)
        facts.payment = hit.record | {name: Decimal(money.to_text(hit.record[name])) for name in MONEY}


def _of_key(topics: TopicSearch, facts: Facts, topic: str, *, whole: bool) -> list[Hit]:
    found = topics.of_key(topic, facts.id_transaction, SECONDS, every=whole)
    where = "all partitions" if whole else "the partition of the key"
    facts.searched.append(f"topic {topic}, {where}: {_read(found)}")
    return found.hits


def _read(found: Searched) -> str:
    return f"{found.records:,} records{'' if found.whole else f'; stopped after {SECONDS:.0f} s'}"


def find_run(store: ObjectStore, place: Place, id_transaction: str) -> Opened | None:
    """Returns the run whose claim has the record: the partition's last claim that doesn't begin after it; None: no run.

    :raises LakeError: the claim is unreadable
    """
    for day in claim_days(place.at):
        prefix = object_prefix(FOLDER, day, *place.partition)
        begins = [info.name for info in store.list(prefix) if _first(info.name) <= place.offset]
        found = store.get(begins[-1]) if begins else None
        if found is not None:
            plan = Plan.of(begins[-1], found.data)
            cases = (case for part in plan.parts for case in part.cases if case["idTransaction"] == id_transaction)
            return next((Opened(plan.run_id, case) for case in cases), None)
    return None


def has_mails_of(partition: Partition, *, case: bool) -> bool:
    """Whether the mail log of a topic-partition may have mails of a case (`case`), or of another transaction."""
    return (partition.topic in _CASE_TOPICS) == case or partition.topic == MAIL_RETRY


def _first(name: str) -> int:
    named = parse_object_name(name)
    return named.first_offset if named else 1 << 63


def _source(settings: Settings, id_transaction: str) -> str | None:
    """Returns the address of the source file from which the id's first part is derived.

    None: no such file is known, or the id is the file's own.
    """
    prefix, _, number = id_transaction.rpartition("-")
    if not number.isdecimal() or len(prefix) != ID_PREFIX_DIGITS:
        return None
    codec, source = Codec.for_topic(INGEST_PROGRESS, settings), None
    with TopicReader(settings, INGEST_PROGRESS) as reader:
        for message in reader.read():
            if hashlib.sha256(message.key() or b"").hexdigest().startswith(prefix):
                try:
                    source = str(codec.decode(message.value())["source"])
                except RecordError:
                    continue
    return source
