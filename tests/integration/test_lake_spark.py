"""Real Spark in local mode makes of a day what one machine makes of it."""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.compaction import spark
from fraudstream.lake.compaction.compaction import CompactionReport
from fraudstream.lake.compaction.compaction import compact as compact_day
from fraudstream.lake.store.objects import PARQUET
from fraudstream.lake.stream import lines, names

from local import spark as local_spark
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.engine_behaviour import DAY, KEEP, Compact, EngineBehaviour, all_folders, put
from tests.unit.lake.rows import batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RunJob = Callable[[Path, str], None]


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    local_spark.make_environment()
    with pytest.MonkeyPatch.context() as patch:
        # Compiling more thoroughly costs more than it gains in so short a life.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


@pytest.fixture(scope="module")
def run_job(environment: None) -> Iterator[RunJob]:
    """Runs jobs in one JVM: starting one takes longer than what they do."""
    command = [local_spark.ENVIRONMENT / "bin" / "python", Path(__file__).with_name("spark_jobs.py"), local_spark.JOB]
    options = {"PYSPARK_SUBMIT_ARGS": shlex.join([*local_spark.OPTIONS, "pyspark-shell"])}
    variables = local_spark.environment() | options
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as jobs:
        assert jobs.stdin is not None
        assert jobs.stdout is not None

        def run(lake: Path, job: str) -> None:
            print(json.dumps([lake.as_uri(), job]), file=jobs.stdin, flush=True)
            assert jobs.stdout.readline() == "done\n", f"Spark job {job} failed, see standard error"

        yield run


def run_on_spark(store: MemoryStore, folder: str, day: date, directory: Path, run_job: RunJob) -> str:
    """Prepares and runs a job on the store's objects as files, and puts what it made into the store."""
    job = spark.prepare(store, folder, day)
    assert job is not None
    before = set(store.objects)
    for name, stored in store.objects.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.data)
    run_job(directory, job)
    for path in sorted((directory / "_spark").rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name not in before and not path.name.startswith("."):
            store.create(name, path, content_type=PARQUET, metadata={})
    return job.removesuffix("/job.json").removeprefix("_spark/")


class TestSpark(EngineBehaviour):
    @pytest.fixture
    def compact(self, tmp_path: Path, run_job: RunJob) -> Compact:
        def run(store: MemoryStore, folder: str, day: date) -> CompactionReport:
            made = run_on_spark(store, folder, day, tmp_path, run_job)
            report = compact_day(store, folder, day, keep_json=KEEP, engine=spark.finished)
            spark.discard(store, made)
            return report

        return run


def test_objects_that_came_after_the_job_was_prepared_ask_for_another_one(tmp_path: Path) -> None:
    store = all_folders()
    run_on_spark(store, names.TRANSACTIONS, DAY, tmp_path, local_spark.compact)
    partition = Partition(NON_FRAUD_TRANSACTION, 0)
    put(store, names.TRANSACTIONS, partition, 90, bytes(lines.transaction(batch([90], partition=partition))), 1)
    with pytest.raises(LakeUnavailable, match="prepare and run it again"):
        compact_day(store, names.TRANSACTIONS, DAY, engine=spark.finished)
