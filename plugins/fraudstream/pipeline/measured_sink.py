"""A sink that reports metrics of another sink: records, bytes, and the time of batches and flushes."""

import time
from collections.abc import Callable, Sequence

from fraudstream.kafka.records import Batch, Partition, Report, Sink
from fraudstream.pipeline.metrics import BATCH, BYTES, DELAY, FLUSH, INVALID, RECORDS, Metric

Reports = Callable[[Metric, float], None]


class MeasuredSink:
    """:class:`~fraudstream.kafka.records.Sink` that passes all calls on to another sink.

    :param report: called with a metric and its value
    """

    def __init__(self, sink: Sink, report: Reports) -> None:
        self._sink = sink
        self._report = report

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return self._sink.assigned(partition, committed)

    def write(self, batch: Batch) -> None:
        begun = time.monotonic()
        self._sink.write(batch)
        self._report(BATCH, time.monotonic() - begun)
        if len(batch):
            self._report(RECORDS, len(batch))
            self._report(BYTES, batch.rows.nbytes)
            self._report(DELAY, max(0.0, time.time() - batch.timestamps[-1] / 1000))

    def due(self) -> bool:
        return self._sink.due()

    def flush(self) -> dict[Partition, int]:
        begun = time.monotonic()
        durable = self._sink.flush()
        if durable:
            self._report(FLUSH, time.monotonic() - begun)
        return durable

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self._sink.revoked(partitions)

    def close(self) -> None:
        self._sink.close()

    def report_invalid(self, report: Report) -> None:
        """Reports the number of dead letters of a run, at its end."""
        if report.invalid:
            self._report(INVALID, report.invalid)
