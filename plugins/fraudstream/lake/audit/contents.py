"""Reads from lake and mail log the offsets and the control totals of each topic-partition, from an offset on."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, And, EqualTo, GreaterThanOrEqual, Or

from fraudstream.kafka.records import Partition
from fraudstream.lake.audit.offsets import NO_OFFSETS, Offsets
from fraudstream.lake.query.view import open_view
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.lines import MONEY, is_text
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.totals import Totals, totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.schemas import rows_schema

_PLACE = ("topic", "partition", "offset")
#: The status of a mail that could not be delivered and will not be retried.
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets [`start`, `end`) whose contents are compared."""

    start: int
    end: int

    def of(self, offsets: Offsets) -> np.ndarray:
        """A mask of the offsets that are in the span."""
        return np.asarray((self.start <= offsets) & (offsets < self.end))


@dataclass(slots=True)
class Contents:
    """The content of a folder, by topic-partition."""

    #: The offset of each row, in any order. An offset that is in several rows is repeated.
    offsets: dict[Partition, Offsets] = field(default_factory=dict)
    totals: dict[Partition, Totals] = field(default_factory=dict)
    #: Offsets of mails that will not be retried.
    failed: dict[Partition, Offsets] = field(default_factory=dict)


def measured_columns(folder: str) -> list[str]:
    """The columns of a folder's rows that are summed in control totals."""
    return [
        field.name
        for field in rows_schema(folder)
        if field.name not in _PLACE and (field.name in MONEY or is_text(field.type))
    ]


def rows_since(
    lake: Lake, folder: str, since: Mapping[Partition, int], columns: list[str]
) -> Iterator[tuple[Partition, Offsets, pa.Table]]:
    """The rows of each topic-partition from its offset in `since` on, or from 0; each row once.

    Yields the partition, the rows' offsets and a table of bounded size with the columns.
    """
    for rows in _tables_since(lake, folder, since, [*_PLACE, *columns]):
        numbers, topics = rows["partition"].to_numpy(), rows["topic"]
        for topic in pc.unique(topics).to_pylist():
            of_topic = pc.equal(topics, topic).to_numpy()
            for number in np.unique(numbers[of_topic]).tolist():
                partition = Partition(topic, number)
                part = rows.filter(pa.array(of_topic & (numbers == number)))
                part = part.filter(pc.greater_equal(part["offset"], since.get(partition, 0)))
                yield partition, part["offset"].to_numpy(), part.select(columns)


def _tables_since(lake: Lake, folder: str, since: Mapping[Partition, int], columns: list[str]) -> Iterator[pa.Table]:
    """The rows of all objects and files that may have rows from these offsets on."""
    chains = [(partition, since.get(partition, 0)) for partition in progress.every(lake.store, folder)]
    wanted = [
        And(EqualTo("topic", topic), And(EqualTo("partition", number), GreaterThanOrEqual("offset", start)))
        for (topic, number), start in chains
    ]
    expression = reduce(Or, wanted) if wanted else AlwaysTrue()
    with open_view(lake, folder, expression=expression, since=since) as view:
        yield from view.rows(columns)


def lake_contents(lake: Lake, folder: str, since: Mapping[Partition, int], spans: Mapping[Partition, Span]) -> Contents:
    """The content of a folder with records. `totals` are those of the rows in the spans."""
    found, parts = Contents(), defaultdict(list)
    for partition, offsets, rows in rows_since(lake, folder, since, measured_columns(folder)):
        parts[partition].append(offsets)
        if partition in spans:
            inside = spans[partition].of(offsets)
            part = totals_of(offsets[inside], rows.filter(pa.array(inside)))
            found.totals[partition] = found.totals.get(partition, Totals()) + part
    found.offsets = {partition: np.concatenate([NO_OFFSETS, *arrays]) for partition, arrays in parts.items()}
    return found


def mail_contents(lake: Lake, since: Mapping[Partition, int]) -> Contents:
    """The content of the mail log, without totals."""
    found, parts = Contents(), defaultdict(list)
    for partition, offsets, rows in rows_since(lake, MAILS, since, ["status"]):
        parts[partition].append(offsets)
        failed = offsets[pc.equal(rows["status"], _FAILED).to_numpy()]
        if len(failed):
            found.failed[partition] = np.union1d(found.failed.get(partition, NO_OFFSETS), failed)
    found.offsets = {partition: np.concatenate([NO_OFFSETS, *arrays]) for partition, arrays in parts.items()}
    return found


#: Folders with records of the topics: all but the mail log.
LAKE_FOLDERS = tuple(dict.fromkeys(FOLDER_OF.values()))
