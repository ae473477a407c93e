"""Real Spark in local mode makes of a day what one machine makes of it."""

from datetime import date
from pathlib import Path

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake import lines, names, spark
from fraudstream.lake.compaction import CompactionReport
from fraudstream.lake.compaction import compact as compact_day
from fraudstream.lake.objects import PARQUET

from local import spark as local_spark
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.engine_behaviour import DAY, KEEP, Compact, EngineBehaviour, all_folders, put
from tests.unit.lake.rows import batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    local_spark.make_environment()


def run_on_spark(store: MemoryStore, folder: str, day: date, directory: Path) -> str:
    """Prepares and runs a job on the store's objects as files, and puts what it made into the store."""
    job = spark.prepare(store, folder, day)
    assert job is not None
    before = set(store.objects)
    for name, stored in store.objects.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.data)
    local_spark.compact(directory, job, memory="1g")
    for path in sorted((directory / "_spark").rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name not in before and not path.name.startswith("."):
            store.create(name, path, content_type=PARQUET, metadata={})
    return job.removesuffix("/job.json").removeprefix("_spark/")


class TestSpark(EngineBehaviour):
    @pytest.fixture
    def compact(self, tmp_path: Path) -> Compact:
        def run(store: MemoryStore, folder: str, day: date) -> CompactionReport:
            made = run_on_spark(store, folder, day, tmp_path)
            report = compact_day(store, folder, day, keep_json=KEEP, engine=spark.finished)
            spark.discard(store, made)
            return report

        return run


def test_objects_that_came_after_the_job_was_prepared_ask_for_another_one(tmp_path: Path) -> None:
    store = all_folders()
    run_on_spark(store, names.TRANSACTIONS, DAY, tmp_path)
    partition = Partition(NON_FRAUD_TRANSACTION, 0)
    put(store, names.TRANSACTIONS, partition, 90, bytes(lines.transaction(batch([90], partition=partition))), 1)
    with pytest.raises(LakeUnavailable, match="prepare and run it again"):
        compact_day(store, names.TRANSACTIONS, DAY, engine=spark.finished)
