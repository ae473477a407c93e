"""A sink for tests that only check what a subscription reads."""

from fraudstream.kafka.records import Batch, Partition


class Collected:
    """A sink that stores its batches in memory; they are durable at once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self._reached: dict[Partition, int] = {}

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return None

    def write(self, batch: Batch) -> None:
        self.rows += batch.rows.to_pylist()
        self._reached[batch.partition] = batch.next_offset

    def due(self) -> bool:
        return False

    def flush(self) -> dict[Partition, int]:
        reached, self._reached = self._reached, {}
        return reached

    def revoked(self, partitions: object) -> None: ...

    def close(self) -> None: ...
