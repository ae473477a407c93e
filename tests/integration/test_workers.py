"""CeleryExecutor: roles on their queues, workers that come, go and are killed under load, nothing lost or doubled.

The running stack's scheduler is exchanged for one with CeleryExecutor, as `make up EXECUTOR=celery` has it; all else
of the stack stays as it is. What these tests print are the figures of docs/workers.md.
"""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from fraudstream.dataset import open_source
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.lake.audit import AuditLine, audit
from fraudstream.lake.names import TRANSACTIONS
from fraudstream.lake.store import Store
from fraudstream.settings import Settings

from local.celery import EXECUTOR, worker, worker_name
from local.control import Control
from local.demo.airflow_api import AirflowApi
from local.environment import LOGS, STACK, stack_environment
from local.part import Part, State
from local.parts import shape_of, stack_parts
from tests.integration.confirmations import kill, until
from tests.integration.pipeline import decoded, in_lake

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DAG = f"consume_{NON_FRAUD_TRANSACTION}s"
GROUPS = [f"{role}-{NON_FRAUD_TRANSACTION}" for role in ("write_lake", "send_mail")]
QUEUE = "consumer_non_fraud"
ROLES = {
    "producer": {"produce_transactions"},
    "consumer_fraud": {"consume_fraud_transactions", "consume_fraud_confirmations"},
    "consumer_non_fraud": {DAG},
    "default": {"fraud_confirmation"},
}
#: Seconds. Shorter than in production, so that the test doesn't wait for a minute: what they bound is the same.
HEARTBEAT_TIMEOUT, DETECTION_INTERVAL, RETRY_DELAY = 20, 3, 5
LIMITS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": str(DETECTION_INTERVAL),
}
PARTITIONS = 6
ROWS, ROWS_PER_SECOND = 12_000, 200


class Fleet:
    """The workers of one queue, and the members of its consumer groups."""

    def __init__(self, control: Control, settings: Settings, airflow: AirflowApi, run: str) -> None:
        self.control = control
        self.airflow = airflow
        self.run = run
        self._admin = AdminClient(settings.kafka_config())

    def shares(self) -> list[list[int]]:
        """How many partitions each member has, by group, largest first; empty while a group isn't there."""
        groups = self._admin.describe_consumer_groups(GROUPS, request_timeout=20)
        try:
            members = [group.result().members for group in groups.values()]
        except KafkaException:  # nobody ever joined it
            return []
        return [sorted((len(m.assignment.topic_partitions) for m in found), reverse=True) for found in members]

    def until_shared(self, members: int, seconds: float) -> float:
        """Waits until so many members of both groups have all partitions in equal parts; how many seconds it took."""
        started = time.monotonic()

        def shared() -> bool:
            shares = self.shares()
            fair = all(sum(share) == PARTITIONS and share[0] - share[-1] <= 1 for share in shares)
            return fair and sum(map(len, shares)) == members

        until(shared, seconds, f"{members} members have all partitions")
        return time.monotonic() - started

    def members(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The run's task instances by task and map index, without the one that numbers them."""
        tasks = self.airflow.tasks(DAG, self.run)
        return {(task["task_id"], task["map_index"]): task for task in tasks if task["task_id"] != "workers"}

    def states(self) -> Counter[str]:
        """How many of the members are in which state."""
        return Counter(str(task["state"]) for task in self.members().values())


def another(number: int, concurrency: int) -> Part:
    """One more worker of the queue."""
    environment = {**stack_environment(), **EXECUTOR, **LIMITS, "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(concurrency)}
    return worker(QUEUE, environment, number)


@pytest.fixture(scope="module")
def celery(stack: Mapping[str, str], airflow: AirflowApi) -> Iterator[Control]:
    """The stack with CeleryExecutor: a worker for each queue, three with two slots each for the one looked at."""
    control = Control(STACK, LOGS)
    before = shape_of(control.status())
    parts = [*stack_parts(print, replace(before, executor="celery")), another(2, 2), another(3, 2)]
    for part in parts:
        if part.name == "airflow-scheduler" or part.name.startswith("airflow-worker"):
            part.env = part.env | LIMITS
    first = next(part for part in parts if QUEUE in part.command)
    first.env = another(1, 2).env
    exchange(control, parts)
    yield control
    exchange(control, stack_parts(print, before))


def exchange(control: Control, parts: list[Part]) -> None:
    """Scheduler and workers stop, and those of `parts` start."""
    old = [status.name for status in control.status() if status.state == State.READY]
    with ThreadPoolExecutor() as pool:
        names = [name for name in old if name.startswith(("airflow-worker", "airflow-scheduler"))]
        list(pool.map(lambda name: control.command("stop", name), names))
    if "redis" in old:
        control.command("stop", "redis")
    control.up(parts, lambda status: None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seed = int(time.time())
    path = tmp_path_factory.mktemp("workers") / f"workers-{seed}.csv"
    write_file(path, plan(ROWS, 2), seed, lambda _: None)
    return path


@pytest.fixture(scope="module")
def fleet(celery: Control, settings: Settings, airflow: AirflowApi, source: Path) -> Iterator[Fleet]:
    """Rows flow; three workers with two slots each have a run of four members of each group before them."""
    dags = set.union(*ROLES.values())
    run = airflow.trigger(DAG, {"workers": 4, "until": "forever", "max_minutes": 30})
    airflow.trigger("produce_transactions", {"source": str(source), "rows_per_second": ROWS_PER_SECOND}, source.stem)
    for dag in dags:
        airflow.pause(dag, False)

    def alone() -> bool:
        """Whether the run is the DAG's only one; its schedule makes another where it comes first."""
        states = {one["dag_run_id"]: one["state"] for one in airflow.runs(DAG)}
        unfinished = {name: state for name, state in states.items() if state in {"queued", "running"}}
        for other in unfinished.keys() - {run}:
            airflow.end(DAG, other)
        return unfinished == {run: "running"}

    until(alone, 60, "the run with four members begins")
    yield Fleet(celery, settings, airflow, run)
    for dag in dags:  # the consumers that run end with their workers
        airflow.pause(dag, True)


@pytest.fixture(scope="module")
def fourth(fleet: Fleet) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that is added once three share the partitions; it has two slots more than it gets tasks."""
    fleet.until_shared(6, 60)
    assert fleet.shares() == [[2, 2, 2]] * 2
    part = another(4, 4)
    with (LOGS / f"{part.name}.log").open("wb") as log:
        process = subprocess.Popen(
            part.command, env=part.env, cwd=part.cwd, stdout=log, stderr=log, start_new_session=True
        )
        yield process
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def test_three_workers_share_six_partitions_and_a_fourth_takes_its_share(
    fleet: Fleet, fourth: "subprocess.Popen[bytes]"
) -> None:
    assert fleet.states() == {"running": 6, "queued": 2}
    seconds = fleet.until_shared(8, 60)
    assert fleet.shares() == [[2, 2, 1, 1]] * 2
    assert fleet.states() == {"running": 8}
    print(f"a fourth worker: {seconds:.1f} s from its start to 2, 2, 1, 1 partitions")


def test_a_killed_workers_members_go_on_elsewhere_within_the_heartbeat_limits(
    fleet: Fleet, fourth: "subprocess.Popen[bytes]"
) -> None:
    killed = time.monotonic()
    kill(fleet.control, "airflow-worker-consumer-non-fraud")
    partitions = fleet.until_shared(6, 30)

    def moved() -> list[dict[str, Any]]:
        return [task for task in fleet.members().values() if task["try_number"] == 2 and task["state"] == "running"]

    # the interval may have begun just before, the first delay is up to twice as long, and a task takes a while to start
    limit = killed + HEARTBEAT_TIMEOUT + 2 * DETECTION_INTERVAL + 2 * RETRY_DELAY + 10
    until(lambda: len(moved()) == 2, limit - time.monotonic(), "both of its tasks run again")
    tasks = time.monotonic() - killed
    fleet.until_shared(8, 30)
    assert fleet.states() == {"running": 8}
    print(f"a killed worker: others read its partitions after {partitions:.1f} s, its tasks run after {tasks:.1f} s")


def test_a_worker_that_is_asked_to_stop_finishes_its_batch_and_exits_cleanly(
    fleet: Fleet, fourth: "subprocess.Popen[bytes]"
) -> None:
    asked = time.monotonic()
    fourth.terminate()
    assert fourth.wait(30) == 0
    seconds = time.monotonic() - asked
    until(lambda: fleet.states() == {"running": 4, "success": 4}, 10, "its four tasks succeeded")
    partitions = fleet.until_shared(4, 30)
    print(f"SIGTERM: exit code 0 after {seconds:.1f} s, others have its partitions {partitions:.1f} s later")


def test_nothing_was_lost_or_doubled(fleet: Fleet, settings: Settings, lake: Store, source: Path) -> None:
    fleet.airflow.wait("produce_transactions", source.stem, 120)
    prefix = open_source(str(source), None).id_prefix
    produced = Counter(row["idTransaction"] for row in decoded(settings, NON_FRAUD_TRANSACTION, prefix))
    assert set(produced.values()) == {1}

    def written() -> Counter[object]:
        return Counter(row for (row,) in in_lake(lake, TRANSACTIONS, prefix))

    until(lambda: len(written()) == len(produced), 60, "all are in the lake")
    assert written() == produced
    until(lambda: sum(line.behind for line in audited(settings, lake)) == 0, 60, "all are mailed")
    assert [line for line in audited(settings, lake) if not line.ok] == []
    print(f"{len(produced):,} records, each once in the lake")


def audited(settings: Settings, lake: Store) -> list[AuditLine]:
    """What the audit says of the topic, for lake and mail."""
    return [line for line in audit(settings, lake).lines if line.partition.topic == NON_FRAUD_TRANSACTION]


def test_each_task_ran_on_the_queue_of_its_role(fleet: Fleet) -> None:
    taken = re.compile(r"Executing workload in Celery.*?dag_id='(\w+)'")
    logs = {queue: (LOGS / f"{worker_name(queue)}.log").read_text() for queue in ROLES}
    assert {queue: set(taken.findall(log)) for queue, log in logs.items()} == ROLES
