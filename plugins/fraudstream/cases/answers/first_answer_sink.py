"""Passes on only the first answer of each case and staff decisions: any number of clicks makes one outcome."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING

from fraudstream.cases.answers.order import Place
from fraudstream.kafka.records import Batch, Partition, Sink


class KnowsFirstPlaces(Protocol):
    """See :class:`fraudstream.cases.answers.places.AnswerPlaces`."""

    def catch_up(self) -> None:
        """Returns once all that lies in the topic now is known."""

    def first_place(self, case: str) -> Place | None:
        """Where the first answer of a case lies."""

    def close(self) -> None:
        """Ends it."""


class FirstAnswers:
    """A sink on fraud_confirmation that passes to another sink the answers that count and drops the rest.

    Those are the first answer of each case, and what `also` says: see :mod:`fraudstream.cases.answers.staff`.

    Which answer was first is known from the log alone, so a partition that comes in is read from its beginning:

    1. ``assigned`` asks the inner sink where it goes on, and has the engine start at the beginning;
    2. ``write`` marks the cases of every row as seen; rows before the inner sink's start end there;
    3. of the rows from there on it passes those whose case was not seen before and those that `also` picks, an empty
       batch included, so that the inner sink's next offset moves past dropped answers.

    Memory: one id for each case of the assigned partitions. All answers of a case lie in one partition, in two if
    partitions were added to the topic meanwhile; `elsewhere` then knows of an earlier one in another partition.

    :param elsewhere: where the first answer of each case lies, over all partitions; closed with this sink
    :param column: what identifies a case; on another topic, the column that must be unique
    :param also: which rows pass in any case
    """

    def __init__(
        self,
        inner: Sink,
        column: str = "idTransaction",
        *,
        elsewhere: KnowsFirstPlaces | None = None,
        also: Callable[[pa.RecordBatch], np.ndarray] | None = None,
    ) -> None:
        self._inner = inner
        self._also = also
        self._elsewhere = elsewhere
        self._column = column
        self._starts: dict[Partition, int] = {}
        self._seen: dict[Partition, set[str]] = {}

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """Always the beginning; the inner sink's own start is kept for ``write``."""
        # 1
        start = self._inner.assigned(partition, committed)
        if start is None:
            start = committed
        self._starts[partition] = 0 if start is None or start < 0 else start
        self._seen[partition] = set()
        return int(OFFSET_BEGINNING)

    def write(self, batch: Batch) -> None:
        """Passes on the first answers at and after the inner sink's start."""
        # 2
        seen = self._seen[batch.partition]
        first = np.zeros(len(batch), dtype=bool)
        for index, case in enumerate(batch.rows.column(self._column).to_pylist()):
            if case not in seen:
                seen.add(case)
                first[index] = True
        start = self._starts[batch.partition]
        if batch.next_offset <= start:
            return
        # 3
        kept = first & (batch.offsets >= start)
        if self._elsewhere is not None and kept.any():
            kept &= ~self._earlier_elsewhere(batch, kept, self._elsewhere)
        if self._also is not None:
            kept |= self._also(batch.rows) & (batch.offsets >= start)
        self._inner.write(
            Batch(
                batch.partition,
                batch.offsets[kept],
                batch.timestamps[kept],
                batch.rows.filter(pa.array(kept)),
                batch.next_offset,
            )
        )

    def _earlier_elsewhere(self, batch: Batch, kept: np.ndarray, elsewhere: KnowsFirstPlaces) -> np.ndarray:
        """Which of the rows that would be kept have an earlier one in another partition."""
        elsewhere.catch_up()
        earlier = np.zeros(len(batch), dtype=bool)
        cases = batch.rows.column(self._column).to_pylist()
        for index in np.flatnonzero(kept).tolist():
            first = elsewhere.first_place(cases[index])
            place = (int(batch.timestamps[index]), batch.partition.number, int(batch.offsets[index]))
            earlier[index] = first is not None and first < place
        return earlier

    def due(self) -> bool:
        """As the inner sink says."""
        return self._inner.due()

    def flush(self) -> dict[Partition, int]:
        """As the inner sink does."""
        return self._inner.flush()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets which cases of the partitions were seen, here and inside."""
        for partition in partitions:
            self._starts.pop(partition, None)
            self._seen.pop(partition, None)
        self._inner.revoked(partitions)

    def close(self) -> None:
        """As the inner sink does."""
        self._inner.close()
        if self._elsewhere is not None:
            self._elsewhere.close()
