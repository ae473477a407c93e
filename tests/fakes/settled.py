"""Sets the progress for objects that a test wrote directly, as if a consumer had written them."""

from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.progress import Progress


def settle(store: ObjectStore, folder: str, partition: Partition, end: int) -> None:
    """Moves the progress of a topic-partition forward to `end`."""
    there = progress.load(store, folder, partition)
    if there is None or there.end < end:
        progress.save(store, folder, partition, Progress(end, there.generation if there else 0))
