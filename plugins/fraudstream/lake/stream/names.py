"""Names of the lake's objects: pure functions, the one place that knows the layout.

::

    transaction/dt=2023-10-07/non_fraud_transaction-3-00000000000000012000.json.gz   lines of one topic-partition
    _progress/transaction/non_fraud_transaction-3.json                               how far the topic-partition is
    _rebased/20261127T101500Z/transaction/…                                          set aside, see lake/rebase/

A name that starts with an underscore holds no rows: Spark, DuckDB and BigQuery patterns on a folder never meet it.
Where the tables' files lie is the catalog's to say: locally in ``iceberg/``.
"""

import re
from datetime import UTC, date, datetime
from typing import NamedTuple

from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic import definitions

TRANSACTIONS = "transaction"
FRAUD_CASES = "fraud_confirmation"
MAILS = "email_confirmation"
CASE_EVENTS = "case_event"
FOLDERS = (TRANSACTIONS, FRAUD_CASES, MAILS, CASE_EVENTS)

#: Where each topic's records go; the log of all mails goes to :data:`MAILS`.
FOLDER_OF = definitions.FOLDERS
#: Topics each of whose records causes a mail.
MAILED = frozenset(definitions.MAILS)


def folders_of(topic: str) -> tuple[str, ...]:
    """Folders that have a chain of each of a topic's partitions."""
    return (FOLDER_OF[topic], MAILS) if topic in MAILED else (FOLDER_OF[topic],)


_DAY_MS = 86_400_000
_OBJECT = re.compile(
    r"(?P<folder>[^/]+)/dt=(?P<day>\d{4}-\d{2}-\d{2})/(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d+)-(?P<first>\d{20})"
    r"\.json\.gz",
    re.ASCII,
)
_PROGRESS = re.compile(r"_progress/[^/]+/(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d+)\.json", re.ASCII)


class ObjectName(NamedTuple):
    """What the name of an object with JSON lines says."""

    folder: str
    day: date
    partition: Partition
    first_offset: int


def day_of(timestamp_ms: int) -> date:
    """UTC date of a Kafka record timestamp (ms since 1970)."""
    return datetime.fromtimestamp(timestamp_ms // _DAY_MS * 86_400, UTC).date()


def object_name(folder: str, day: date, topic: str, partition: int, first_offset: int) -> str:
    """Name of the object whose first line is the record at `first_offset`; names sort as the offsets do."""
    return f"{object_prefix(folder, day, topic, partition)}{first_offset:020d}.json.gz"


def object_prefix(folder: str, day: date, topic: str, partition: int) -> str:
    """What the names of all objects of a topic-partition and day start with."""
    return f"{day_prefix(folder, day)}{topic}-{partition}-"


def parse_object_name(name: str) -> ObjectName | None:
    """Inverse of :func:`object_name`; None for any other name."""
    match = _OBJECT.fullmatch(name)
    if match is None:
        return None
    partition = Partition(match["topic"], int(match["partition"]))
    try:
        return ObjectName(match["folder"], date.fromisoformat(match["day"]), partition, int(match["first"]))
    except ValueError:  # dt=2023-02-30 is shaped like a name of ours, but no day
        return None


def day_prefix(folder: str, day: date) -> str:
    """What the names of all of a day's objects start with."""
    return f"{folder}/dt={day.isoformat()}/"


def progress_name(folder: str, topic: str, partition: int) -> str:
    """Name of the object that says how far a topic-partition is written to a folder."""
    return f"{progress_prefix(folder)}{topic}-{partition}.json"


def progress_prefix(folder: str) -> str:
    """What the names of all of a folder's progress objects start with."""
    return f"_progress/{folder}/"


def parse_progress_name(name: str) -> Partition | None:
    """The topic-partition of a progress object; None for any other name."""
    match = _PROGRESS.fullmatch(name)
    return None if match is None else Partition(match["topic"], int(match["partition"]))
