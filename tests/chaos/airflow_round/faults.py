"""The faults of a round through Airflow: those of its tasks, and those that need the whole stack."""

import random
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.names import TRANSACTIONS, parse_progress_name
from fraudstream.settings import Settings

from tests.chaos.airflow_round.poison import EVERY_KIND
from tests.chaos.airflow_round.tasks import CONSUMERS, DAG_OF, PRODUCER, ROLES, Attempt, Tasks
from tests.chaos.faults import Arena, Fault, kill_brokers, kill_registry, kill_worker, poison, smtp_fault, store_fault
from tests.chaos.faults import until as wait_until
from tests.chaos.fleet import Interruption
from tests.chaos.mailbox import SMTP_FAULTS
from tests.chaos.proxy import ANY_SERVER, HttpFault
from tests.chaos.stack import PARTITIONS
from tests.fakes.smtp import FakeSmtpServer

#: Longer than the session timeout of 10 s, so that the group reassigns the frozen task's partitions.
_FROZEN_SECONDS = 15.0
#: A task that waits for the mail server sends no request to the brokers until its run of a minute ends.
_FENCED_WITHIN = 90.0
#: On a busy machine two killed brokers need minutes until they serve again.
_MEMBERS_WITHIN = 300.0
_ASSIGNED = "is read in group"
_FENCED = ("was away too long", "PartitionLost")
_FAILED = "Task failed with exception"
_VICTIMS = 4
_RUNS_WITHOUT_MAIL = 2


@dataclass
class AirflowArena(Arena):
    """The objects that faults act on; the fleet consists of tasks in Airflow."""

    tasks: Tasks = field(kw_only=True)
    settings: Settings = field(kw_only=True)
    smtp: FakeSmtpServer = field(kw_only=True)
    #: Unexpected behaviour: something continued that should have stopped, or the other way round.
    findings: list[str] = field(default_factory=list)
    partitions: int = PARTITIONS


def freeze(consumer: str) -> Fault:
    """Freezes one of a group's two members past the session timeout, then continues it: it must be fenced."""

    def do(arena: AirflowArena, rng: random.Random) -> None:
        for _ in range(_VICTIMS):
            victim = _reader(arena, consumer, rng)
            if victim is None:
                arena.findings.append(
                    f"no task of {consumer} had partitions within {_MEMBERS_WITHIN:.0f} s: nothing could be frozen"
                )
                return
            begun, before = time.time(), len(victim.said())
            if not arena.tasks.signal(consumer, victim, signal.SIGSTOP):
                return
            time.sleep(_FROZEN_SECONDS)
            arena.tasks.signal(consumer, victim, signal.SIGCONT)
            wait_until(lambda: any(word in victim.said()[before:] for word in (*_FENCED, _FAILED)), _FENCED_WITHIN)  # noqa: B023
            if any(word in victim.said()[before:] for word in _FENCED):
                break
            if _disturbed(arena, consumer, begun):
                break
            if _FAILED not in victim.said()[before:]:
                arena.unfenced.append(f"{consumer}: {victim.log} says nothing of lost partitions after SIGCONT")
                break
            # The time of its run ended before it sent a request to the brokers: take another one.
        else:
            arena.findings.append(f"{_VICTIMS} tasks of {consumer} in turn ended before the brokers could fence them")
        arena.zombies += 1

    return Fault(f"SIGSTOP, SIGCONT {consumer}", _FROZEN_SECONDS + 4, do)


def _reader(arena: AirflowArena, consumer: str, rng: random.Random) -> Attempt | None:
    """A running member that has partitions, while another member also runs."""
    deadline = time.monotonic() + _MEMBERS_WITHIN
    while time.monotonic() < deadline:
        members = [one for one in arena.tasks.running(consumer) if _ASSIGNED in one.said()]
        if len(members) > 1:
            return rng.choice(members)
        time.sleep(1)
    return None


def _disturbed(arena: AirflowArena, consumer: str, since: float) -> bool:
    """Whether other faults hit the group or the brokers meanwhile: then a takeover can't be expected."""
    return any(
        i.at > since - _FROZEN_SECONDS
        and i.what not in {"SIGSTOP", "SIGCONT"}
        and i.worker.startswith((consumer, "kafka-"))
        for i in arena.fleet.interruptions
    )


def registry_fault(fault: HttpFault) -> Fault:
    """Lets the registry fail for tasks that start, and for tasks that read a schema they don't know yet."""

    def do(arena: AirflowArena, rng: random.Random) -> None:
        before = arena.registry.hits[fault]
        with arena.registry.fault(fault, 1.0):
            arena.poisoner.write("unknown schema id", rng)
            arena.fleet.kill(rng.choice(CONSUMERS))
            time.sleep(5)
            wait_until(lambda: arena.registry.hits[fault] > before, 60)

    return Fault(f"registry {fault.value}", 10, do)


def compact_while_writers_die(arena: AirflowArena, rng: random.Random) -> None:
    """Compacts today while writers are killed after writing objects, but before they move their progress."""
    run = arena.tasks.trigger("compact_lake", {"day": datetime.now(UTC).date().isoformat()})
    for _ in range(2):
        before = len(arena.store.held)
        with arena.store.fault(HttpFault.HELD_PROGRESS, 1.0):
            if not wait_until(lambda before=before: len(arena.store.held) > before, 60):  # type: ignore[misc]
                break
            partition = parse_progress_name(arena.store.held[before])
            folder = arena.store.held[before].split("/")[1]
            role = {"email_confirmation": "send_mail", "_cases": "open_cases"}.get(folder, "write_lake")
            if partition is not None and role in ROLES.get(partition.topic, ()):
                arena.fleet.kill(f"{role}-{partition.topic}")
    state = arena.tasks.wait("compact_lake", run, 300)
    if state != "success":
        arena.findings.append(f"run {run} of compact_lake is {state}")


def add_partitions(arena: AirflowArena, rng: random.Random) -> None:
    """Adds a partition to each topic of the pipeline, once."""
    if arena.partitions > PARTITIONS:
        return
    admin = AdminClient(arena.settings.kafka_config(log_level=3))
    for topic in DAG_OF:
        deadline = time.monotonic() + 120
        while True:
            try:
                admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)], request_timeout=30)[topic].result(60)
                break
            except (KafkaException, TimeoutError) as error:
                if "already has" in str(error):  # the response of the first try was lost
                    break
                if time.monotonic() > deadline:
                    raise
                time.sleep(2)
    arena.partitions = PARTITIONS + 1


def no_mail_server(arena: AirflowArena, rng: random.Random) -> None:
    """Stops the mail server for some runs; lake and cases must continue in each of them."""
    dag = DAG_OF[FRAUD_TRANSACTION]
    seen, written = set(arena.tasks.runs(dag, "running", "success", "failed")), _written(arena)
    for topic in DAG_OF:  # a mail that the server accepted while it was stopping is sent again
        arena.fleet.interruptions.append(Interruption(time.time(), f"send_mail-{topic}", "no mail server"))
    arena.smtp.down()
    away = time.monotonic()
    try:
        more = wait_until(
            lambda: len(set(arena.tasks.runs(dag, "running", "success", "failed")) - seen) >= _RUNS_WITHOUT_MAIL, 240
        )
        # Brokers may be down for most of that time.
        went_on = wait_until(lambda: _written(arena) > written, 180)
    finally:
        arena.smtp.up()
    took = time.monotonic() - away
    if not more:
        arena.findings.append(f"{dag} opened fewer than {_RUNS_WITHOUT_MAIL} runs in {took:.0f} s without mail server")
    if not went_on:
        arena.findings.append(f"the lake stood still in {took:.0f} s without mail server")


def _written(arena: AirflowArena) -> int:
    """The number of transactions that are in the lake for certain."""
    store = Store.connect(arena.settings.lake_bucket)
    return sum(there.end for there in progress.every(store, TRANSACTIONS).values())


_LAKE, _MAIL = (f"{role}-{NON_FRAUD_TRANSACTION}" for role in ("write_lake", "send_mail"))

#: Every fault, by lane.
LANES: dict[str, list[Fault]] = {
    "consumers": [*map(kill_worker, CONSUMERS), *map(freeze, (_LAKE, _MAIL))],
    "brokers": [kill_brokers(1, 3), kill_brokers(2, 20)],
    "registry": [
        Fault("kill -9 registry", 10, kill_registry),
        registry_fault(HttpFault.UNAVAILABLE),
        registry_fault(HttpFault.NOT_FOUND),
    ],
    "store": [
        *(store_fault(fault, 35 if fault is HttpFault.STALL else 6) for fault in ANY_SERVER),
        Fault("compaction, writers killed before their progress", 40, compact_while_writers_die),
    ],
    "smtp": [
        *(smtp_fault(fault, 8 if "stall" in fault.name else 4) for fault in SMTP_FAULTS),
        Fault("no mail server for two runs", 130, no_mail_server),
    ],
    "topics": [
        kill_worker(PRODUCER),
        Fault("partitions added", 1, add_partitions),
        *map(poison, EVERY_KIND),
    ],
}
