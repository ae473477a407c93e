"""Names of the lake's objects. Only these pure functions know the layout.

::

    transaction/dt=2023-10-07/non_fraud_transaction-3-00000000000000012000.json.gz   lines of one topic-partition
    _progress/transaction/non_fraud_transaction-3.json                               progress of the topic-partition
    _rebased/20261127T101500Z/transaction/…                                          set aside, see lake/rebase/

Names that start with an underscore are outside the folders of rows, so the patterns of Spark, DuckDB and BigQuery on a
folder don't match them. The catalog sets the location of the tables' files: locally it is ``iceberg/``.
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

#: The folder of each topic's records. The log of all mails is in :data:`MAILS`.
FOLDER_OF = definitions.FOLDERS
#: Topics of which each record causes a mail.
MAILED = frozenset(definitions.MAILS)


def folders_of(topic: str) -> tuple[str, ...]:
    """The folders that have a chain for each partition of a topic."""
    return (FOLDER_OF[topic], MAILS) if topic in MAILED else (FOLDER_OF[topic],)


_DAY_MS = 86_400_000
_OBJECT = re.compile(
    r"(?P<folder>[^/]+)/dt=(?P<day>\d{4}-\d{2}-\d{2})/(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d+)-(?P<first>\d{20})"
    r"\.json\.gz",
    re.ASCII,
)
_PROGRESS = re.compile(r"_progress/[^/]+/(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d+)\.json", re.ASCII)


class ObjectName(NamedTuple):
    """The parts of the name of an object with JSON lines."""

    folder: str
    day: date
    partition: Partition
    first_offset: int


def day_of(timestamp_ms: int) -> date:
    """The UTC date of a Kafka record timestamp (ms since 1970)."""
    return datetime.fromtimestamp(timestamp_ms // _DAY_MS * 86_400, UTC).date()


def object_name(folder: str, day: date, topic: str, partition: int, first_offset: int) -> str:
    """The name of the object whose first line is the record at `first_offset`. Names sort in offset order."""
    return f"{object_prefix(folder, day, topic, partition)}{first_offset:020d}.json.gz"


def object_prefix(folder: str, day: date, topic: str, partition: int) -> str:
    """The prefix of the names of a topic-partition's objects of one day."""
    return f"{day_prefix(folder, day)}{topic}-{partition}-"


def parse_object_name(name: str) -> ObjectName | None:
    """Inverse of :func:`object_name`; None for any other name."""
    match = _OBJECT.fullmatch(name)
    if match is None:
        return None
    partition = Partition(match["topic"], int(match["partition"]))
    try:
        return ObjectName(match["folder"], date.fromisoformat(match["day"]), partition, int(match["first"]))
    except ValueError:  # the pattern matches, but there is no such day: dt=2023-02-30
        return None


def day_prefix(folder: str, day: date) -> str:
    """The prefix of the names of a folder's objects of one day."""
    return f"{folder}/dt={day.isoformat()}/"


def progress_name(folder: str, topic: str, partition: int) -> str:
    """The name of the progress object of a topic-partition in a folder."""
    return f"{progress_prefix(folder)}{topic}-{partition}.json"


def progress_prefix(folder: str) -> str:
    """The prefix of the names of a folder's progress objects."""
    return f"_progress/{folder}/"


def parse_progress_name(name: str) -> Partition | None:
    """The topic-partition of a progress object; None for any other name."""
    match = _PROGRESS.fullmatch(name)
    return None if match is None else Partition(match["topic"], int(match["partition"]))
