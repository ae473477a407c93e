"""CeleryExecutor: roles use their queues; workers start, stop and are killed under load; nothing is lost or duplicated.

The running stack's scheduler is replaced by one with CeleryExecutor, as with `make up EXECUTOR=celery`. The other parts
stay as they are. The figures of docs/workers.md are printed by these tests.
"""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from fraudstream.dataset import open_source
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.stack.celery import EXECUTOR, worker, worker_name
from local.stack.environment import LOGS, STACK, stack_environment
from local.stack.parts import shape_of, stack_parts
from local.stack.ports import HOST
from local.supervisor.control import Control
from local.supervisor.part import Part, State
from local.topics import committed
from tests.integration.confirmations import kill, until
from tests.integration.pipeline import decoded, in_lake, with_tables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DAG = f"consume_{NON_FRAUD_TRANSACTION}s"
GROUPS = [f"{role}-{NON_FRAUD_TRANSACTION}" for role in ("write_lake", "send_mail")]
QUEUE = "consumer_non_fraud"
QUEUE_OF = {
    "produce_transactions": "producer",
    "consume_fraud_transactions": "consumer_fraud",
    "consume_fraud_confirmations": "consumer_fraud",
    DAG: QUEUE,
    "fraud_confirmation": "default",
}
#: Seconds. Shorter than in production, so that the test takes less time; what they limit is the same.
HEARTBEAT_TIMEOUT, DETECTION_INTERVAL, RETRY_DELAY = 15, 2, 5
LIMITS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": str(DETECTION_INTERVAL),
}
PARTITIONS = 6
ROWS, FRAUDS, ROWS_PER_SECOND = 9_000, 2, 200


class Fleet:
    """The workers of one queue, and the members of its consumer groups."""

    def __init__(
        self, control: Control, settings: Settings, airflow: AirflowApi, run: str, third: "subprocess.Popen[bytes]"
    ) -> None:
        self.control = control
        self.airflow = airflow
        self.run = run
        self.third = third
        self.killed = 0.0
        self._settings = settings
        self._admin = AdminClient(settings.kafka_config())

    def shares(self) -> list[list[int]]:
        """The number of partitions of each member by group, in descending order; empty while a group doesn't exist."""
        groups = self._admin.describe_consumer_groups(GROUPS, request_timeout=20)
        try:
            members = [group.result().members for group in groups.values()]
        except KafkaException:  # the group never had a member
            return []
        return [sorted((len(m.assignment.topic_partitions) for m in found), reverse=True) for found in members]

    def until_shared(self, members: int, seconds: float) -> float:
        """Waits until this many members of both groups share all partitions equally; returns the seconds."""
        started = time.monotonic()

        def shared() -> bool:
            shares = self.shares()
            fair = all(sum(share) == PARTITIONS and share[0] - share[-1] <= 1 for share in shares)
            return fair and sum(map(len, shares)) == members

        until(shared, seconds, f"{members} members have all partitions")
        return time.monotonic() - started

    def not_mailed(self) -> int:
        """The number of records that the group of send_mail hasn't committed."""
        read = committed(self._settings, f"send_mail-{NON_FRAUD_TRANSACTION}", NON_FRAUD_TRANSACTION)
        ends = Topics(self._settings).committed_ends(NON_FRAUD_TRANSACTION)
        return sum(max(0, end - read.get(number, 0)) for number, end in ends.items())

    def members(self) -> list[dict[str, Any]]:
        """The run's task instances, without the task that numbers the members."""
        return [task for task in self.airflow.tasks(DAG, self.run) if task["task_id"] != "workers"]

    def states(self) -> Counter[str]:
        """The number of members by state."""
        return Counter(str(task["state"]) for task in self.members())


def another(number: int, concurrency: int = 2, queue: str = QUEUE) -> Part:
    """Another worker. A worker for QUEUE may start with another queue and get QUEUE later."""
    environment = {**stack_environment(), **EXECUTOR, **LIMITS, "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(concurrency)}
    part = worker(QUEUE, environment, number)
    part.command[part.command.index("--queues") + 1] = queue
    return part


def celery_parts() -> list[Part]:
    """The stack's parts with CeleryExecutor: two workers with two slots each for QUEUE, one for each other queue."""
    parts = stack_parts(print, replace(shape_of(Control(STACK, LOGS).status()), executor="celery"))
    for part in parts:
        if part.name == "airflow-scheduler" or part.name.startswith("airflow-worker"):
            part.env = part.env | LIMITS
    first = another(1)
    return [*(first if part.name == first.name else part for part in parts), another(2)]


def stop_airflow(control: Control) -> None:
    """Stops scheduler and workers in parallel; running tasks finish their batch."""
    running = [status.name for status in control.status() if status.state == State.READY]
    with ThreadPoolExecutor() as pool:
        names = [name for name in running if name.startswith(("airflow-worker", "airflow-scheduler"))]
        list(pool.map(lambda name: control.command("stop", name), names))
    if "redis" in running:
        control.command("stop", "redis")


@contextmanager
def running(part: Part) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a worker that the supervisor doesn't know, so that its exit code can be checked."""
    with (LOGS / f"{part.name}.log").open("wb") as log:
        process = subprocess.Popen(
            part.command, env=part.env, cwd=part.cwd, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seed = int(time.time())
    path = tmp_path_factory.mktemp("workers") / f"workers-{seed}.csv"
    write_file(path, plan(ROWS, FRAUDS), seed, lambda _: None)
    return path


@pytest.fixture(scope="module")
def fleet(
    settings: Settings, airflow: AirflowApi, source: Path, stack_stays: bool, request: pytest.FixtureRequest
) -> Iterator[Fleet]:
    """Rows are produced. Three workers with two slots each run four members of each group.

    A fourth worker runs, but doesn't serve the queue yet.
    """
    control = Control(STACK, LOGS)
    before = shape_of(control.status())
    dags = QUEUE_OF.keys() - {"consume_fraud_confirmations"}  # enough that each queue gets tasks
    stop_airflow(control)
    run = airflow.trigger(DAG, {"workers": 4, "until": "forever", "max_minutes": 30})
    airflow.trigger("produce_transactions", {"source": str(source), "rows_per_second": ROWS_PER_SECOND}, source.stem)
    # Triggered, because the schedule creates no run for some minutes after a run was marked as failed, as a demo does.
    airflow.trigger("consume_fraud_transactions", {})
    airflow.pause("fraud_confirmation", False)

    def alone() -> bool:
        """Whether the run is the DAG's only one: the schedule may have created another run before."""
        states = {one["dag_run_id"]: one["state"] for one in airflow.runs(DAG)}
        unfinished = {name: state for name, state in states.items() if state in {"queued", "running"}}
        for other in unfinished.keys() - {run}:
            airflow.end(DAG, other)
        return unfinished == {run: "running"}

    with running(another(3)) as third, running(another(4, 4, "none-yet")) as fourth:
        control.up(celery_parts(), lambda parts: None)
        until(alone, 60, "the run with four members begins")
        yield Fleet(control, settings, airflow, run, third)
        for dag in dags:
            airflow.pause(dag, True)
        fourth.terminate()
        stop_airflow(control)
    if stack_stays or request.session.items[-1].path != request.path:  # otherwise the stack is stopped next
        control.up(stack_parts(print, before), lambda parts: None)


def test_three_workers_share_six_partitions_and_a_fourth_takes_its_share(fleet: Fleet) -> None:
    fleet.until_shared(6, 120)
    assert fleet.shares() == [[2, 2, 2]] * 2
    assert fleet.states() == {"running": 6, "queued": 2}
    with Celery(broker=stack_environment()["AIRFLOW__CELERY__BROKER_URL"]) as app:
        assert app.control.add_consumer(QUEUE, destination=[f"{worker_name(QUEUE, 4)}@{HOST}"], reply=True)
    seconds = fleet.until_shared(8, 60)
    assert fleet.shares() == [[2, 2, 1, 1]] * 2
    assert fleet.states() == {"running": 8}
    print(f"a fourth worker: {seconds:.1f} s from its first look at the queue to 2, 2, 1, 1 partitions")


def test_a_killed_workers_partitions_go_to_the_others(fleet: Fleet) -> None:
    fleet.killed = time.monotonic()
    kill(fleet.control, worker_name(QUEUE))
    fleet.until_shared(6, 30)
    print(f"a killed worker: others read its partitions after {time.monotonic() - fleet.killed:.1f} s")


def test_a_worker_that_is_asked_to_stop_finishes_its_batch_and_exits_cleanly(fleet: Fleet) -> None:
    # With more mails at hand than the mail server takes in 5 s, the task would rightly end as up_for_retry.
    until(lambda: fleet.not_mailed() <= 2 * ROWS_PER_SECOND, 60, "the others have mailed what the killed worker had")
    asked = time.monotonic()
    fleet.third.terminate()
    assert fleet.third.wait(30) == 0
    seconds = time.monotonic() - asked
    until(lambda: fleet.states()["success"] == 2, 10, "both of its tasks succeeded")
    print(f"SIGTERM: exit code 0 after {seconds:.1f} s")


def test_a_killed_workers_tasks_run_again_elsewhere_within_the_heartbeat_limits(fleet: Fleet) -> None:
    def again() -> bool:
        return sum(task["try_number"] == 2 and task["state"] == "running" for task in fleet.members()) == 2

    # The detection interval may have just begun, the first delay may be doubled, and a task needs time to start.
    limit = fleet.killed + HEARTBEAT_TIMEOUT + 2 * DETECTION_INTERVAL + 2 * RETRY_DELAY + 10
    until(again, limit - time.monotonic(), "both of its tasks run again")
    print(f"a killed worker: its tasks run again after {time.monotonic() - fleet.killed:.1f} s")
    fleet.until_shared(6, 30)
    assert fleet.states() == {"running": 6, "success": 2}


def test_nothing_was_lost_or_doubled(fleet: Fleet, settings: Settings, lake: Store, source: Path) -> None:
    fleet.airflow.wait("produce_transactions", source.stem, 120)
    until(lambda: green(settings, lake), 60, "each is in the lake once and mailed once, says the audit")
    prefix = open_source(str(source), None).id_prefix
    produced = [row["idTransaction"] for row in decoded(settings, NON_FRAUD_TRANSACTION, prefix)]
    written = [row for (row,) in in_lake(lake, TRANSACTIONS, prefix)]
    assert len(set(produced)) == len(produced) == ROWS - FRAUDS
    assert sorted(written) == sorted(produced)


def green(settings: Settings, lake: Store) -> bool:
    """Whether the audit finds no lag and no missing or duplicated records of the topic, in lake and mail log."""
    lines = [line for line in audit(settings, with_tables(lake)).lines if line.partition.topic == NON_FRAUD_TRANSACTION]
    return all(line.ok and not line.behind for line in lines)


def test_each_task_ran_on_the_queue_of_its_role(fleet: Fleet) -> None:
    for queue in set(QUEUE_OF.values()):
        log = (LOGS / f"{worker_name(queue)}.log").read_text()
        taken = set(re.findall(r"Executing workload in Celery.*?dag_id='(\w+)'", log))
        assert taken, queue
        assert {QUEUE_OF.get(dag, "default") for dag in taken} == {queue}
