"""Runs one trial, one fault for one subject: produces, injects the fault, waits, stops the workers, counts."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.shootout.counts import Outcome, compare
from benchmarks.shootout.feed import Feed, Records
from benchmarks.shootout.fleet import Fleet
from benchmarks.shootout.sinks.subject import SESSION_SECONDS, Subject
from local.stack.services import BROKERS
from local.supervisor.control import Control
from local.supervisor.part import AT_REST, State

#: Share of the records that is produced before the subject starts. When one of them is visible, the subject works.
_HEAD = 0.05
_FEED_SECONDS = 20.0
#: When the fault begins, as a share of the feed.
_MIDDLE = (0.3, 0.6)
_UP_WITHIN = 120.0
#: If no further record becomes visible for this time, all workers are restarted once; records that are missing after
#: that are lost. Twice the subject's time to its first record is added, because it may be restarting.
_SILENT_SECONDS = 25.0
_WHOLE_SECONDS = 240.0
#: Time to wait when all records are visible: a zombie or a late commit may still add duplicates.
_SETTLE_SECONDS = 6.0
_LOOK_SECONDS = 1.0
_RATE_LOOK_SECONDS = 0.2
_BROKER_DOWN_SECONDS = 3.0
_SECOND_WORKER_SECONDS = 12.0

Say = Callable[[str], None]


class Course:
    """A running trial."""

    def __init__(self, subject: Subject, fleet: Fleet, feed: Feed, control: Control, rng: random.Random) -> None:
        self.subject = subject
        self.fleet = fleet
        self.feed = feed
        self.control = control
        self.rng = rng
        self._reader = subject.reader()
        self._visible: set[str] = set()

    def visible(self) -> int:
        """The number of different records that a reader has seen so far."""
        self._visible.update(self._reader.new())
        return len(self._visible)

    def wait_for(self, number: int, seconds: float, silent: float = float("inf")) -> bool:
        """Waits until this many records are visible; False after `seconds`, or `silent` seconds without a new one."""
        deadline, grown, before = time.monotonic() + seconds, time.monotonic(), self.visible()
        while before < number:
            if time.monotonic() > deadline or time.monotonic() - grown > silent:
                return False
            time.sleep(_LOOK_SECONDS)
            self.subject.attend()
            if (now := self.visible()) > before:
                before, grown = now, time.monotonic()
        return True


def _nothing(course: Course) -> None:
    """No fault, for comparison."""


def _kill(course: Course) -> None:
    course.fleet.kill(1)


def _zombie(course: Course) -> None:
    """Freezes the worker for longer than its session timeout, while a second worker replaces it."""
    course.fleet.freeze(1)
    course.fleet.start(2)
    _pass(course, SESSION_SECONDS + 8)
    course.fleet.thaw(1)
    _pass(course, 10)
    course.fleet.retire(1)


def _rebalance(course: Course) -> None:
    """Starts a second worker and stops it again."""
    course.fleet.start(2)
    _pass(course, _SECOND_WORKER_SECONDS)
    course.fleet.retire(2)


def _broker(course: Course) -> None:
    """Kills one of the three brokers with SIGKILL and starts it again."""
    victim = course.rng.choice(BROKERS)
    course.control.command("kill", victim)
    _wait_for_part(course.control, victim, AT_REST)
    _pass(course, _BROKER_DOWN_SECONDS)
    course.control.command("start", victim)
    _wait_for_part(course.control, victim, {State.READY})


def _store(course: Course) -> None:
    course.subject.fail_store(course.fleet)


FAULTS: dict[str, Callable[[Course], None]] = {
    "none": _nothing,
    "kill": _kill,
    "zombie": _zombie,
    "rebalance": _rebalance,
    "broker": _broker,
    "store": _store,
}


def run_trial(subject: Subject, fault: str, feed: Feed, records: Records, control: Control) -> Outcome:
    """Runs a trial and returns its result.

    :raises BenchmarkFailed: the subject wrote no record within 120 s, or the feed or a broker failed
    """
    trial = subject.trial
    course_rng = random.Random(f"{trial.seed} {fault}")  # noqa: S311  no secret
    notes: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(subject.running())
        fleet = stack.enter_context(Fleet(trial.folder, subject.command))
        course = Course(subject, fleet, feed, control, course_rng)
        # 1. Start the subject and wait for its first record.
        feed.send(int(_HEAD * len(records.ids)))
        begun = time.monotonic()
        fleet.start(1)
        if not course.wait_for(1, _UP_WITHIN):
            raise BenchmarkFailed(f"no record within {_UP_WITHIN:.0f} s; its log: {_end_of(fleet)}")
        start = time.monotonic() - begun
        silent = _SILENT_SECONDS + 2 * start
        notes.append(f"first record after {start:.0f} s")
        # 2. Inject the fault while records are produced.
        feed.start(_FEED_SECONDS)
        _pass(course, _FEED_SECONDS * course_rng.uniform(*_MIDDLE))
        before = course.visible()
        FAULTS[fault](course)
        over, produced = time.monotonic(), feed.fed
        notes.append(f"{course.visible() - before:,} became visible during the fault")
        recovered = time.monotonic() - over if course.wait_for(produced, _WHOLE_SECONDS, silent) else None
        feed.finish()
        # 3. Wait until all records are visible, or no new ones appear.
        every = len(records.ids)
        if not course.wait_for(every, _WHOLE_SECONDS, silent):
            notes.append(f"{every - course.visible():,} missing after {silent:.0f} s of silence, restarted")
            fleet.retire_all()
            fleet.start(3)
            course.wait_for(every, _WHOLE_SECONDS, silent)
        _pass(course, _SETTLE_SECONDS)
        fleet.retire_all()
    # 4. Count with a new reader: files may have been removed meanwhile.
    counts = compare(records.ids, subject.reader().new())
    other = subject.other_reader()
    return Outcome(
        *(subject.name, fault, trial.seed, counts, recovered, fleet.peak_mib, fleet.restarts, notes),
        other=(other[0], compare(records.ids, other[1].new())) if other else None,
    )


def run_rate(subject: Subject, feed: Feed, records: Records) -> float:
    """Records per second of a run without a fault; all records are in the topic before the subject starts.

    :raises BenchmarkFailed: not all records became visible in time
    """
    feed.send(len(records.ids))
    feed.finish()
    with subject.running(), Fleet(subject.trial.folder, subject.command) as fleet:
        begun = time.monotonic()
        fleet.start(1)
        reader = subject.reader()
        visible = set(reader.new())
        while len(visible) < len(records.ids):
            if time.monotonic() - begun > _WHOLE_SECONDS:
                raise BenchmarkFailed(
                    f"{len(visible):,} records visible after {_WHOLE_SECONDS:.0f} s; its log: {_end_of(fleet)}"
                )
            time.sleep(_RATE_LOOK_SECONDS)
            subject.attend()
            visible.update(reader.new())
        seconds = time.monotonic() - begun
        fleet.retire_all()
    return len(records.ids) / seconds


def _pass(course: Course, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
        course.subject.attend()


def _wait_for_part(control: Control, name: str, wanted: set[State], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while (state := next(part.state for part in control.status() if part.name == name)) not in wanted:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{name} is {state} after {seconds:.0f} s, expected {wanted}")
        time.sleep(0.2)


def _end_of(fleet: Fleet) -> str:
    """The last errors in the log of the first worker, or its last lines."""
    lines = fleet.log(1).read_text(errors="replace").splitlines()
    errors = [line for line in lines if "Error" in line or "Exception" in line]
    return "\n".join((errors or lines)[-5:])
