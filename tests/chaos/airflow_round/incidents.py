"""Incidents at which consumers must stop: a topic was recreated, or retention deleted unread records."""

import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from fraudstream.dataset.generator import plan, write_file
from fraudstream.errors import FraudstreamError
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.kafka.topic.topics import create_topics
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.stream.appending import written_end
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import ROOT

from local.stack.environment import VAR
from tests.chaos.airflow_round.faults import AirflowArena
from tests.chaos.airflow_round.tasks import DAG_OF, PRODUCER_DAG, ROLES
from tests.chaos.faults import until
from tests.chaos.verdict import Check

#: The number of rows in an incident's own file.
_ROWS = 60
#: The round causes dead letters and failed mails on purpose, so the audit allows them.
_AUDIT = {"settle_seconds": 5, "full": True, "max_dead_letters": 1_000_000, "max_undelivered_mails": 1_000_000}


def topic_made_anew(arena: AirflowArena, seed: int) -> Check:
    """Deletes and recreates the topic of frauds under its consumers: they stop, and continue after a rebase."""
    topic, dag = FRAUD_TRANSACTION, DAG_OF[FRAUD_TRANSACTION]
    problems = _produce(arena, f"before-{seed}.csv", seed, frauds=_ROWS)
    problems += caught_up(arena, 240, outcomes=False)
    admin = AdminClient(arena.settings.kafka_config(log_level=3))
    admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
    until(lambda: topic not in admin.list_topics(timeout=30).topics, 60)
    create_topics(arena.settings)
    command = f"python -m fraudstream.lake rebase {topic}"
    logs = [f"run_id=*/task_id={role}/**/attempt=*.log" for role in ROLES[topic]]
    folder = VAR / "airflow" / "logs" / f"dag_id={dag}"
    for role, pattern in zip(ROLES[topic], logs, strict=True):
        if not until(lambda p=pattern: any(command in log.read_text() for log in folder.glob(p)), 180):  # type: ignore[misc]
            problems.append(f"{role} of {topic} didn't stop with the command that goes on")
    arena.tasks.pause(True, topic)
    said = ""
    deadline = time.monotonic() + 120
    while "done: the consumers" not in said:
        ran = subprocess.run(
            [sys.executable, "-m", "fraudstream.lake", "rebase", topic, "--yes"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        said = ran.stdout + ran.stderr
        if time.monotonic() > deadline:
            problems.append(f"rebase of {topic}: {said.strip()}")
            break
        time.sleep(2)
    arena.tasks.pause(False, topic)
    return Check("a topic made anew stops its consumers, rebase goes on", f"{_ROWS} records were in it", problems)


def retention_took_records(arena: AirflowArena, seed: int) -> Check:
    """Deletes unread records: the audit must fail and name their number."""
    topic = NON_FRAUD_TRANSACTION
    arena.tasks.pause(True)
    admin = AdminClient(arena.settings.kafka_config(log_level=3))
    _rest(admin)
    problems = _produce(arena, f"taken-{seed}.csv", seed, frauds=0)
    ends = {
        entry.partition: future.result(30).offset
        for entry, future in admin.list_offsets(
            {TopicPartition(topic, number): OffsetSpec.latest() for number in range(arena.partitions)}
        ).items()
    }
    lake = Lake.connect(arena.settings)
    taken = 0
    cuts = []
    for number, end in ends.items():
        reached = [
            written_end(lake.store, folder, Partition(topic, number), lambda f=folder: lake.tables.offsets(f))  # type: ignore[misc]
            for folder in (FOLDER_OF[topic], MAILS)
        ]
        cut = max(reached) + (end - max(reached)) // 2
        cuts.append(TopicPartition(topic, number, cut))
        taken += sum(cut - one for one in reached if 0 < one < cut)
    for future in admin.delete_records(cuts, operation_timeout=30).values():
        future.result(60)
    arena.tasks.pause(False)
    problems += caught_up(arena, 240)
    run = arena.tasks.trigger("audit_lake", {**_AUDIT, "max_retention_gaps": 0})
    state = arena.tasks.wait("audit_lake", run, 300)
    folder = VAR / "airflow" / "logs" / "dag_id=audit_lake" / f"run_id={run}"
    said = "".join(log.read_text() for log in folder.rglob("attempt=*.log"))
    named = in_red_audit(taken)
    if taken == 0:
        problems.append("nothing was deleted unread")
    if state != "failed" or named not in said:
        problems.append(f"the audit is {state} and doesn't say {named!r}")
    return Check("the audit names what retention took", f"{taken} offsets taken unread", problems)


def in_red_audit(taken: int) -> str:
    """The message of a failed audit about this number of unread offsets that retention deleted, if none are allowed."""
    return f"records that retention took unread: {taken:,} of at most 0:"


def caught_up(arena: AirflowArena, seconds: float, *, outcomes: bool = True) -> list[str]:
    """Waits until lake and mail log reach the topics' ends and cases have `outcomes`; else returns a problem."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            report = audit(arena.settings, Lake.connect(arena.settings))
        except FraudstreamError as error:  # such as a new leader of a partition
            if not error.retryable or time.monotonic() > deadline:
                raise
        else:
            if not report.total("behind") and not (outcomes and report.open_cases):
                return []
            if time.monotonic() > deadline:
                behind = report.total("behind")
                return [f"after {seconds:.0f} s {behind} records are behind, {report.open_cases} cases open"]
        time.sleep(3)


def _produce(arena: AirflowArena, name: str, seed: int, *, frauds: int) -> list[str]:
    file: Path = VAR / name
    write_file(file, plan(_ROWS, frauds), seed, lambda _: None)
    run = arena.tasks.trigger(PRODUCER_DAG, {"source": str(file)})
    state = arena.tasks.wait(PRODUCER_DAG, run, 180)
    return [] if state == "success" else [f"run {run} of {PRODUCER_DAG} is {state}"]


def _rest(admin: AdminClient) -> None:
    """Waits until no consumer group has members."""

    def empty() -> bool:
        states = [group.state.name for group in admin.list_consumer_groups(request_timeout=30).result(60).valid]
        return all(state in {"EMPTY", "DEAD"} for state in states)

    until(empty, 90)
