"""Passes on only staff decisions and the first answer of each case: any number of clicks makes one outcome."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING

from fraudstream.cases.answers.order import Place
from fraudstream.kafka.records import Batch, Partition, Sink


class KnowsFirstPlaces(Protocol):
    """The methods of :class:`fraudstream.cases.answers.places.AnswerPlaces` that the sink uses."""

    def catch_up(self) -> None:
        """Returns once all answers that the topic has now are read."""

    def first_place(self, case: str) -> Place | None:
        """The place of a case's first answer; None: it has no answer."""

    def close(self) -> None:
        """Stops reading the topic."""


class FirstAnswers:
    """A sink on fraud_confirmation that passes to another sink the answers that count and drops the rest.

    The first answer of each case counts, and so do the rows that `also` selects: see
    :mod:`fraudstream.cases.answers.staff`.

    Only the log shows which answer is the first, so the sink reads an assigned partition from its beginning:

    1. ``assigned`` asks the inner sink for its start offset, and lets the engine start at the beginning;
    2. ``write`` marks the cases of all rows as seen, and drops the rows before the inner sink's start offset;
    3. of the other rows it passes on those whose case was not seen before and those that `also` selects. It passes on
       an empty batch, too, so that the inner sink's next offset moves past dropped answers.

    Memory: one id for each case of the assigned partitions. All answers to a case are in one partition, or in two if
    partitions were added to the topic in between; `elsewhere` then knows of an earlier answer in another partition.

    :param elsewhere: the places of the first answers over all partitions; closed with this sink
    :param column: the column that identifies a case; on another topic, the column that must be unique
    :param also: returns the mask of the rows that are passed on even if they aren't the first of their case
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
        """Returns the beginning of the partition; keeps the inner sink's start offset for ``write``."""
        # 1
        start = self._inner.assigned(partition, committed)
        if start is None:
            start = committed
        self._starts[partition] = 0 if start is None or start < 0 else start
        self._seen[partition] = set()
        return int(OFFSET_BEGINNING)

    def write(self, batch: Batch) -> None:
        """Passes on the rows that count, from the inner sink's start offset on."""
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
        """Returns the mask of the `kept` rows whose case has an earlier answer in another partition."""
        elsewhere.catch_up()
        earlier = np.zeros(len(batch), dtype=bool)
        cases = batch.rows.column(self._column).to_pylist()
        for index in np.flatnonzero(kept).tolist():
            first = elsewhere.first_place(cases[index])
            place = (int(batch.timestamps[index]), batch.partition.number, int(batch.offsets[index]))
            earlier[index] = first is not None and first < place
        return earlier

    def due(self) -> bool:
        """Whether the inner sink is due."""
        return self._inner.due()

    def flush(self) -> dict[Partition, int]:
        """Flushes the inner sink and returns its next offsets."""
        return self._inner.flush()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets the seen cases of these partitions, and revokes them from the inner sink."""
        for partition in partitions:
            self._starts.pop(partition, None)
            self._seen.pop(partition, None)
        self._inner.revoked(partitions)

    def close(self) -> None:
        """Closes the inner sink and `elsewhere`."""
        self._inner.close()
        if self._elsewhere is not None:
            self._elsewhere.close()
