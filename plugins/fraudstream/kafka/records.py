"""The shapes that pass between the subscription engine and its sinks."""

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
#: Mails that a server deferred; a partition for each length of the wait.
MAIL_RETRY = "mail_retry"
#: Seconds that a record of each partition of mail_retry waits; the first is for mails that a person sends again.
MAIL_RETRY_WAITS = (0, 300, 600, 1200, 2400, 3600)
#: Seconds that mail_retry keeps a record: for so long one that is put a second time is known to be there.
MAIL_RETRY_KEPT = 7 * 24 * 3600
INGEST_PROGRESS = "ingest_progress"
#: Rows of a source file that fail their checks; they have no topic of their own yet.
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

    `rows` has one row a record in the schema's columns (money: int64 minor units, times: timestamp[ms]);
    `offsets` (int64) and `timestamps` (int64, ms since 1970, of the Kafka record) are as long. Offsets have gaps
    where transaction markers and dead letters lie. `next_offset` is where reading continues after the batch,
    beyond such records at its end.
    """

    partition: Partition
    offsets: np.ndarray
    timestamps: np.ndarray
    rows: pa.RecordBatch
    next_offset: int

    def __len__(self) -> int:
        return len(self.offsets)

    def head(self, rows: int) -> "Batch":
        """The first `rows` records; reading continues with the next one."""
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
        """Batches of one partition that follow each other, as one."""
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
        """Start offset for a partition this reader now owns; None: the group's committed offset, or the beginning.

        `committed` is the group's committed offset, None where it has none.
        """

    def write(self, batch: Batch) -> None:
        """Takes records; they need not be durable when this returns. Raises what made earlier ones not so."""

    def due(self) -> bool:
        """Whether what was written should be flushed now; asked after each poll."""

    def flush(self) -> dict[Partition, int]:
        """Makes all that was written durable and returns the next offset of each partition that moved.

        :raises FraudstreamError: nothing may be assumed of the batches written since the last flush; the engine
            stops, and a new reader starts at the last durable offset
        """

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets what is buffered of partitions that another reader owns now."""

    def close(self) -> None:
        """Releases connections; called once, after the last flush."""


@dataclass
class Report:
    """What a run did: records handed to the sink, invalid records that are dead letters."""

    topic: str
    group: str
    records: int = 0
    invalid: int = 0
    #: Offsets that were deleted before the group read them.
    taken_by_retention: int = 0
    seconds: float = 0.0
