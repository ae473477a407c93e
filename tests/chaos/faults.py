"""The faults, and when they happen: lanes run in parallel, and the faults of one lane happen one after the other.

Seed and length determine order, times and victims. What the workers do at these times differs from run to run.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION

from local.stack.services import BROKERS
from tests.chaos.fleet import Fleet, Interruption
from tests.chaos.mailbox import SMTP_FAULTS, Mailbox, SmtpFault
from tests.chaos.poison import KINDS, Poisoner
from tests.chaos.proxy import ANY_SERVER, FaultyProxy, HttpFault
from tests.chaos.stack import Stack

PRODUCER = "produce"
CONSUMERS = {
    f"{role}-{topic}": (role, topic)
    for role, topic in (
        ("write_lake", NON_FRAUD_TRANSACTION),
        ("write_lake", FRAUD_TRANSACTION),
        ("send_mail", NON_FRAUD_TRANSACTION),
        ("send_mail", FRAUD_TRANSACTION),
        ("open_cases", FRAUD_TRANSACTION),
    )
}
#: Longer than the session timeout of 10 s, so that the group reassigns the frozen worker's partitions.
_FROZEN_SECONDS = 15.0
_TAKEN_OVER_WITHIN = 60.0
_FENCED_WITHIN = 30.0
_ZOMBIE_TRIES = 4
#: Lines that a worker logs when it gets partitions, and when it notices that another worker has them.
_ASSIGNED = "is read in group"
_FENCED = ("was away too long", "PartitionLost")
_JOIN_SECONDS = 5.0
_SHARE = 0.6
_LONGEST_GAP = 20.0
#: If another fault delays the workers, a fault continues until it hit something, at most for this many seconds longer.
_HIT_WITHIN = 300.0


@dataclass
class Arena:
    """The objects that faults act on, and the record of what they did."""

    stack: Stack
    #: The workers: a :class:`tests.chaos.fleet.Fleet`, or tasks in Airflow. It has `kill` and `interruptions`.
    fleet: Any
    store: FaultyProxy
    registry: FaultyProxy
    mailbox: Mailbox
    poisoner: Poisoner
    cases: str
    zombies: int = 0
    #: Zombies that weren't fenced.
    unfenced: list[str] = field(default_factory=list)
    #: How often each fault was injected.
    done: dict[str, int] = field(default_factory=dict)

    def extra_worker(self, consumer: str, number: int) -> str:
        """Starts another member of a consumer's group; returns its name."""
        role, topic = CONSUMERS[consumer]
        name = f"{consumer}-{number}"
        self.fleet.add(name, role, topic, "forever", self.cases)
        return name


class Fault(NamedTuple):
    """A fault; `seconds` is its approximate duration."""

    name: str
    seconds: float
    do: Callable[[Any, random.Random], None]


def kill_worker(name: str) -> Fault:
    """Kills the producer or a consumer with SIGKILL."""

    def do(arena: Arena, rng: random.Random) -> None:
        time.sleep(rng.uniform(0, 2))
        arena.fleet.kill(name)

    return Fault(f"kill -9 {name}", 2, do)


def zombie(consumer: str) -> Fault:
    """Freezes a consumer past the session timeout while a second one runs, then continues it: it must be fenced."""

    def do(arena: Arena, rng: random.Random) -> None:
        second = arena.extra_worker(consumer, 2)
        problem: str | None = None
        for _ in range(_ZOMBIE_TRIES):
            time.sleep(rng.uniform(0, 2))
            begun = time.time()
            problem = _freeze_and_thaw(arena, consumer, second)
            if problem is None or not _disturbed(arena, (consumer, second), begun):
                break
        arena.zombies += 1
        if problem is not None:
            arena.unfenced.append(f"{consumer}: {problem}")
        arena.fleet.retire(second)

    return Fault(f"SIGSTOP, SIGCONT {consumer}", _JOIN_SECONDS + _FROZEN_SECONDS + 4, do)


def _freeze_and_thaw(arena: Arena, consumer: str, second: str) -> str | None:
    """Makes one zombie; returns the reason why it may not have been fenced."""
    fleet = arena.fleet
    for name in (consumer, second):
        fleet.wait_settled(name, _JOIN_SECONDS, 60)
        if not until(lambda name=name: _owns(fleet.said(name)), _TAKEN_OVER_WITHIN):  # type: ignore[misc]
            return f"{name} got no partitions, there was nothing to fence"
    before, others = len(fleet.said(consumer)), len(fleet.said(second))
    fleet.freeze(consumer)
    frozen = time.monotonic()
    taken_over = until(lambda: _ASSIGNED in fleet.said(second)[others:], _TAKEN_OVER_WITHIN)
    time.sleep(max(0.0, _FROZEN_SECONDS - (time.monotonic() - frozen)))
    fleet.thaw(consumer)
    if not taken_over:
        return "it was frozen and nobody took its partitions over"
    if not until(lambda: any(word in fleet.said(consumer)[before:] for word in _FENCED), _FENCED_WITHIN):
        return "its log says nothing of lost partitions after SIGCONT"
    return None


def _owns(said: str) -> bool:
    """Whether the last line about a worker's partitions says that it has some."""
    return said.rfind(_ASSIGNED) > said.rfind(_FENCED[0])


def _disturbed(arena: Arena, workers: Sequence[str], since: float) -> bool:
    """Whether other faults hit the workers or the brokers meanwhile: these may have rebalanced the group."""
    return any(
        i.at > since - _FROZEN_SECONDS and i.what not in {"SIGSTOP", "SIGCONT"} and i.worker in (*workers, *BROKERS)
        for i in arena.fleet.interruptions
    )


def rebalance(consumer: str) -> Fault:
    """Starts a second and a third worker, and stops them after a while."""

    def do(arena: Arena, rng: random.Random) -> None:
        second = arena.extra_worker(consumer, 2)
        time.sleep(rng.uniform(0, 2))
        third = arena.extra_worker(consumer, 3)
        time.sleep(_JOIN_SECONDS + rng.uniform(0, 4))
        arena.fleet.retire(second)
        arena.fleet.retire(third)

    return Fault(f"rebalance {consumer}", _JOIN_SECONDS + 5, do)


def kill_brokers(count: int, seconds: float) -> Fault:
    """Kills brokers with SIGKILL; they start again after some seconds."""

    def do(arena: Arena, rng: random.Random) -> None:
        victims = rng.sample(BROKERS, count)
        for victim in victims:
            arena.fleet.interruptions.append(Interruption(time.time(), victim, "kill -9"))
            arena.stack.kill(victim)
        time.sleep(seconds)
        for victim in victims:
            arena.stack.start(victim)

    name = "kill -9 broker" if count == 1 else f"{count} brokers down for {seconds:.0f} s"
    return Fault(name, seconds + 10, do)


def kill_registry(arena: Arena, rng: random.Random) -> None:
    """Kills the registry with SIGKILL; workers that start meanwhile need it."""
    arena.stack.kill("schema-registry")
    time.sleep(3)
    arena.stack.start("schema-registry")


def registry_fault(arena: Arena, rng: random.Random) -> None:
    """Makes the registry refuse the requests that a worker sends at its start."""
    with arena.registry.fault(HttpFault.UNAVAILABLE, 0.9):
        victim = rng.choice(sorted(CONSUMERS))
        arena.fleet.kill(victim)
        time.sleep(5)


def store_fault(fault: HttpFault, seconds: float) -> Fault:
    """Injects a fault into a share of the requests to the store."""

    def do(arena: Arena, rng: random.Random) -> None:
        before = arena.store.hits[fault]
        with arena.store.fault(fault, _SHARE):
            time.sleep(seconds)
            until(lambda: arena.store.hits[fault] > before, _HIT_WITHIN)

    return Fault(f"store {fault.value}", seconds, do)


def smtp_fault(fault: SmtpFault, seconds: float) -> Fault:
    """Injects a fault into a share of the mails."""

    def do(arena: Arena, rng: random.Random) -> None:
        before = arena.mailbox.hits[fault.name]
        with arena.mailbox.fault(fault, _SHARE):
            time.sleep(seconds)
            until(lambda: arena.mailbox.hits[fault.name] > before, _HIT_WITHIN)

    return Fault(f"SMTP {fault.name}", seconds, do)


def poison(kind: str) -> Fault:
    """Writes a bad record to one of the topics."""
    return Fault(kind, 0.1, lambda arena, rng: arena.poisoner.write(kind, rng))


_LAKE, _MAIL = f"write_lake-{NON_FRAUD_TRANSACTION}", f"send_mail-{NON_FRAUD_TRANSACTION}"
_CASES = f"open_cases-{FRAUD_TRANSACTION}"

#: Every fault, by lane.
LANES: dict[str, list[Fault]] = {
    "workers": [
        kill_worker(PRODUCER),
        *map(kill_worker, CONSUMERS),
        *map(zombie, (_LAKE, _MAIL, _CASES)),
        *map(rebalance, (_LAKE, _MAIL)),
        Fault("registry answers 503", 6, registry_fault),
    ],
    "brokers": [kill_brokers(1, 3), kill_brokers(2, 20)],
    "registry": [Fault("kill -9 registry", 10, kill_registry)],
    # A stall must be longer than the store client's timeout of 30 s.
    "store": [store_fault(fault, 35 if fault is HttpFault.STALL else 6) for fault in ANY_SERVER],
    "smtp": [smtp_fault(fault, 8 if "stall" in fault.name else 4) for fault in SMTP_FAULTS],
    "poison": [poison(kind) for kind in KINDS],
}
#: The faults that fit into a short round of about 40 s.
SHORT_LANES: dict[str, list[Fault]] = {
    "workers": [*map(kill_worker, (PRODUCER, _LAKE, _MAIL, _CASES)), zombie(_LAKE)],
    "brokers": [kill_brokers(1, 3)],
    "store": [store_fault(fault, 4) for fault in ANY_SERVER],
    "smtp": [smtp_fault(fault, 6 if "stall" in fault.name else 2) for fault in SMTP_FAULTS],
    "poison": [poison(kind) for kind in KINDS],
}


def inject(arena: Arena, lanes: dict[str, list[Fault]], seed: int, seconds: float) -> None:
    """Injects the faults of all lanes at random times for this many seconds, each at least once.

    :raises Exception: the error of a fault that failed; the other lanes end after their current fault
    """
    stop = threading.Event()
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
        running = [
            pool.submit(_lane, arena, faults, random.Random(f"{seed} {name}"), seconds, stop)  # noqa: S311
            for name, faults in lanes.items()
        ]
        try:
            for lane in as_completed(running):
                lane.result()
        finally:
            stop.set()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits for a condition; returns whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def wait_reading(fleet: Fleet, consumers: Sequence[str]) -> None:
    """Waits until all of these consumers have partitions.

    :raises TimeoutError: one has none within two minutes
    """
    for name in consumers:
        if not until(lambda name=name: _ASSIGNED in fleet.said(name), 120):  # type: ignore[misc]
            raise TimeoutError(f"{name} gets no partitions; see {fleet.log(name)}")


def _lane(arena: Arena, faults: Sequence[Fault], rng: random.Random, seconds: float, stop: threading.Event) -> None:
    end = time.monotonic() + seconds
    busy = sum(fault.seconds for fault in faults)
    gap = min(_LONGEST_GAP, max(0.5, (seconds - busy) / len(faults)))
    first_pass = True
    while first_pass or time.monotonic() < end:
        for fault in rng.sample(faults, len(faults)):
            if stop.wait(rng.uniform(0.2, 1.8) * gap):
                return
            if not first_pass and time.monotonic() + fault.seconds > end:
                return
            begun = time.monotonic()
            fault.do(arena, rng)
            print(f"{datetime.now(UTC):%H:%M:%S}   {fault.name}, {time.monotonic() - begun:.0f} s", flush=True)
            arena.done[fault.name] = arena.done.get(fault.name, 0) + 1
        first_pass = False
