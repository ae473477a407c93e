"""Real Spark in local mode compacts a day to the same result as the pipeline's own engine."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.lake.compaction import spark
from fraudstream.lake.compaction.protocol import CompactionReport
from fraudstream.lake.compaction.protocol import compact as compact_here
from fraudstream.lake.stream import names
from fraudstream.lake.table.lake import Lake

from local.programs import spark as local_spark
from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction.engine_behaviour import DAY, Compact, EngineBehaviour, all_folders, read

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RunJob = Callable[[Path, str], None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One catalog for all tests: Spark's session is created once, with its catalog."""
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def run_job(directory: Path) -> Iterator[RunJob]:
    """Runs jobs in one JVM: starting a JVM takes longer than a job."""
    local_spark.make_environment()
    new_lake(directory=directory)  # creates the catalog's tables
    variables = local_spark.submitting(local_spark.catalog(directory / "catalog.db", directory.as_uri()))
    variables["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1"  # C2 would cost more than it saves
    command = [local_spark.ENVIRONMENT / "bin" / "python", Path(__file__).with_name("spark_jobs.py"), local_spark.JOB]
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as jobs:
        assert jobs.stdin is not None
        assert jobs.stdout is not None

        def run(lake: Path, job: str) -> None:
            print(json.dumps([lake.as_uri(), job]), file=jobs.stdin, flush=True)
            assert jobs.stdout.readline() == "done\n", f"Spark job {job} failed, see standard error"

        yield run


@pytest.fixture
def lake(directory: Path, request: pytest.FixtureRequest) -> Iterator[Lake]:
    made = new_lake(directory=directory)
    made.tables.namespace = f"lake_{abs(hash(request.node.name))}"
    yield made
    made.tables.catalog.engine.dispose()


def run_on_spark(lake: Lake, folder: str, day: date, directory: Path, run_job: RunJob) -> str:
    """Prepares and runs a job on the store's objects as files, and uploads its result to the store."""
    job = spark.prepare(lake, folder, day)
    assert job is not None
    for name, stored in lake.store.objects.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.data)
    run_job(directory, job)
    for path in sorted((directory / job).parent.glob("result/part-*")):
        lake.store.create(path.relative_to(directory).as_posix(), path, content_type="text/plain", metadata={})
    return job


class TestSpark(EngineBehaviour):
    @pytest.fixture
    def compact(self, tmp_path: Path, run_job: RunJob) -> Compact:
        def run(lake: Lake, folder: str, day: date) -> CompactionReport:
            return spark.finish(lake, run_on_spark(lake, folder, day, tmp_path, run_job))

        return run


def test_a_job_is_done_in_vain_if_another_run_was_faster(lake: Lake, tmp_path: Path, run_job: RunJob) -> None:
    all_folders(lake)
    before = read(lake, names.TRANSACTIONS)
    job = run_on_spark(lake, names.TRANSACTIONS, DAY, tmp_path, run_job)
    compact_here(lake, names.TRANSACTIONS, DAY)
    with pytest.raises(LakeUnavailable, match="another run was faster"):
        spark.finish(lake, job)
    assert read(lake, names.TRANSACTIONS).equals(before)


def test_a_job_that_was_published_before_a_crash_is_finished_again(lake: Lake, tmp_path: Path, run_job: RunJob) -> None:
    all_folders(lake)
    before = read(lake, names.TRANSACTIONS)
    job = run_on_spark(lake, names.TRANSACTIONS, DAY, tmp_path, run_job)
    there = dict(lake.store.objects)
    spark.finish(lake, job)
    lake.store.objects = there
    assert spark.finish(lake, job).deleted_objects == 9
    assert read(lake, names.TRANSACTIONS).equals(before)
    assert [info.name for info in lake.store.list("_spark/")] == []
