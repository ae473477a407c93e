"""What lake and mail log hold of each topic-partition from an offset on: where records are, and their totals."""

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
#: A mail's status when it will not be tried again.
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets [`start`, `end`) whose contents are compared."""

    start: int
    end: int

    def of(self, offsets: Offsets) -> np.ndarray:
        """Which of some offsets lie in it."""
        return np.asarray((self.start <= offsets) & (offsets < self.end))


@dataclass(slots=True)
class Contents:
    """What a folder holds of some topic-partitions."""

    #: Each as often as it is there.
    offsets: dict[Partition, Offsets] = field(default_factory=dict)
    totals: dict[Partition, Totals] = field(default_factory=dict)
    #: Offsets of mails that won't be tried again.
    failed: dict[Partition, Offsets] = field(default_factory=dict)


def measured_columns(folder: str) -> list[str]:
    """Columns of a folder's rows that control totals have."""
    return [
        field.name
        for field in rows_schema(folder)
        if field.name not in _PLACE and (field.name in MONEY or is_text(field.type))
    ]


def rows_since(
    lake: Lake, folder: str, since: Mapping[Partition, int], columns: list[str]
) -> Iterator[tuple[Partition, Offsets, pa.Table]]:
    """Rows of each topic-partition from its offset on, 0 where it has none; each once, in tables of bounded size."""
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
    """Rows of objects and files that may have some from these offsets on."""
    chains = [(partition, since.get(partition, 0)) for partition in progress.every(lake.store, folder)]
    wanted = [
        And(EqualTo("topic", topic), And(EqualTo("partition", number), GreaterThanOrEqual("offset", start)))
        for (topic, number), start in chains
    ]
    expression = reduce(Or, wanted) if wanted else AlwaysTrue()
    with open_view(lake, folder, expression=expression, since=since) as view:
        yield from view.rows(columns)


def lake_contents(lake: Lake, folder: str, since: Mapping[Partition, int], spans: Mapping[Partition, Span]) -> Contents:
    """A folder of records; totals are those of the spans."""
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
    """The mail log."""
    found, parts = Contents(), defaultdict(list)
    for partition, offsets, rows in rows_since(lake, MAILS, since, ["status"]):
        parts[partition].append(offsets)
        failed = offsets[pc.equal(rows["status"], _FAILED).to_numpy()]
        if len(failed):
            found.failed[partition] = np.union1d(found.failed.get(partition, NO_OFFSETS), failed)
    found.offsets = {partition: np.concatenate([NO_OFFSETS, *arrays]) for partition, arrays in parts.items()}
    return found


#: Folders of records.
LAKE_FOLDERS = tuple(dict.fromkeys(FOLDER_OF.values()))
