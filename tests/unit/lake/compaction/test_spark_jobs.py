"""The objects of a Spark job."""

import pytest
from fraudstream.lake.compaction import spark

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.filled_day import Killed

JOB = "_spark/transaction-1/job.json"


@pytest.mark.parametrize("deletions", range(4))
def test_a_job_that_was_not_removed_completely_is_still_there(deletions: int) -> None:
    """So whoever was killed in between can finish it again."""
    store = MemoryStore()
    others = [f"_spark/transaction-1/{name}" for name in ("a", "result/part-0", "z")]
    for name in (JOB, *others):
        store.create(name, b"{}", content_type="application/json", metadata={})
    left = deletions

    def die(operation: str, name: str) -> None:
        nonlocal left
        if operation == "delete":
            if not left:
                raise Killed
            left -= 1

    store.before = die
    with pytest.raises(Killed):
        spark.discard(store, JOB)
    assert JOB in store.objects
    store.before = lambda operation, name: None
    spark.discard(store, JOB)
    assert not store.objects
