"""Names of topics, and the types that the subscription engine and its sinks exchange."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

NON_FRAUD_TRANSACTION = "non_fraud_transaction"
FRAUD_TRANSACTION = "fraud_transaction"
FRAUD_CONFIRMATION = "fraud_confirmation"
#: What happens to cases besides answers: bounces, reminders, escalations.
CASE_EVENT = "case_event"
#: Mails that a mail server deferred. Each partition has its own waiting time.
MAIL_RETRY = "mail_retry"
#: Waiting time in seconds of each partition of mail_retry. Partition 0 is for mails that a person sends again.
MAIL_RETRY_WAITS = (0, 300, 600, 1200, 2400, 3600)
#: Retention of mail_retry in seconds, and so the time for which a record that is written twice is recognised.
MAIL_RETRY_KEPT = 7 * 24 * 3600
INGEST_PROGRESS = "ingest_progress"
#: Rows of a source file that failed their checks. They were never records of another topic.
INGEST_DEAD_LETTER = "ingest.dead_letter"


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded records of one partition in offset order.

    `rows` has one row for each record, with the schema's columns (money: int64 minor units, times: timestamp[ms]).
    `offsets` (int64) and `timestamps` (int64, ms since 1970, of the Kafka record) have the same length. Offsets have
    gaps at transaction markers and dead letters. `next_offset` is the offset at which reading continues after the
    batch; it is beyond markers and dead letters at the batch's end.
    """

    partition: Partition
    offsets: np.ndarray
    timestamps: np.ndarray
    rows: pa.RecordBatch
    next_offset: int

    def __len__(self) -> int:
        return len(self.offsets)

    def head(self, rows: int) -> "Batch":
        """The first `rows` records as a batch, whose `next_offset` is the offset of the record after them."""
        if rows >= len(self):
            return self
        return Batch(
            self.partition,
            self.offsets[:rows],
            self.timestamps[:rows],
            self.rows.slice(0, rows),
            int(self.offsets[rows]),
        )

    @staticmethod
    def joined(batches: Sequence["Batch"]) -> "Batch":
        """Joins consecutive batches of one partition to one."""
        return Batch(
            batches[0].partition,
            np.concatenate([batch.offsets for batch in batches]),
            np.concatenate([batch.timestamps for batch in batches]),
            pa.concat_batches([batch.rows for batch in batches]),
            batches[-1].next_offset,
        )

    def since(self, offset: int) -> "Batch":
        """The part of the batch at and after `offset`."""
        start = int(np.searchsorted(self.offsets, offset))
        return (
            self
            if start == 0
            else Batch(
                self.partition,
                self.offsets[start:],
                self.timestamps[start:],
                self.rows.slice(start),
                self.next_offset,
            )
        )


class Sink(Protocol):
    """Where a subscription's records go.

    The engine calls from one thread, in this order for each partition: ``assigned``, any number of ``write`` and
    ``flush``, ``revoked``. An offset counts as done only when ``flush`` returned it.
    """

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """Returns the start offset for a partition that was assigned to this reader.

        None stands for the group's committed offset, or the partition's beginning if the group has none.

        :param committed: the group's committed offset; None if it has none
        """

    def write(self, batch: Batch) -> None:
        """Takes records, which need not be durable when this returns. Raises the error of an earlier failed write."""

    def due(self) -> bool:
        """Whether the engine should call ``flush`` now. The engine asks after each poll."""

    def flush(self) -> dict[Partition, int]:
        """Makes all written records durable and returns the next offset of each partition with new durable records.

        :raises FraudstreamError: the batches written since the last flush may or may not be durable; the engine
            stops, and a new reader starts at the last durable offset
        """

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Drops the buffered records of partitions that this reader no longer owns."""

    def close(self) -> None:
        """Releases connections; called once, after the last flush."""


@dataclass
class Report:
    """The result of a run: the number of records passed to the sink, and of invalid records, which are dead letters."""

    topic: str
    group: str
    records: int = 0
    invalid: int = 0
    #: Number of offsets that were deleted before the group read them.
    taken_by_retention: int = 0
    seconds: float = 0.0
