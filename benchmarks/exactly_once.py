"""Lost and duplicated records of write_lake and of other sinks under the same faults, as a plain reader counts them.

ROWS sets the number of records (default: 1,000,000). SUBJECTS and FAULTS select some of the sinks and faults. SEED sets
the first seed, RUNS the number of seeds.
"""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from fraudstream.errors import FraudstreamError

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.report import OURS, Report
from benchmarks.harness.rounds import BenchmarkFailed, run, wait_until_quiet
from benchmarks.harness.stack import FOLDER
from benchmarks.harness.topics import create, delete, settings_of
from benchmarks.shootout.counts import Outcome, table, verdict
from benchmarks.shootout.feed import Feed, read_records
from benchmarks.shootout.sinks.connect import FileStreamSink
from benchmarks.shootout.sinks.flink import FlinkFiles
from benchmarks.shootout.sinks.iceberg import IcebergSink
from benchmarks.shootout.sinks.ours import Ours
from benchmarks.shootout.sinks.spark import SparkFiles
from benchmarks.shootout.sinks.subject import Subject, Trial
from benchmarks.shootout.trial import FAULTS, run_rate, run_trial
from local.stack.environment import LOGS, STACK
from local.supervisor.control import Control

_ROWS = 1_000_000
#: Rows of the file for each row that goes to the non-fraud topic.
_MORE_ROWS = 1.01
_RATE = "rate"
_BUSY = 0.2
SUBJECTS: dict[str, type[Subject]] = {
    subject.name: subject for subject in (Ours, FileStreamSink, IcebergSink, SparkFiles, FlinkFiles)
}

Say = Callable[[str], None]


def benchmark(environment: Mapping[str, str], say: Say) -> Report:
    """Runs the selected trials one after the other."""
    subjects = _asked("SUBJECTS", list(SUBJECTS))
    faults = _asked("FAULTS", [_RATE, *FAULTS])
    rows, seed, runs = (
        int(os.environ.get(name, number)) for name, number in (("ROWS", _ROWS), ("SEED", 1), ("RUNS", 1))
    )
    uri = upload(lake(environment), paysim(int(rows * _MORE_ROWS) + 1_000), "exactly_once.csv")
    run("benchmarks.ours.produce", [uri], environment)
    shootout = _Shootout(environment, say, rows)
    for number in range(seed, seed + runs):
        for fault in faults:
            for name in subjects:
                shootout.run(SUBJECTS[name], fault, number)
    outcomes, rates = shootout.outcomes, shootout.rates
    peak = max((outcome.peak_mib for outcome in outcomes if outcome.subject == OURS), default=0.0)
    return Report(
        "exactly_once",
        "records/s",
        {},
        verdict(outcomes, OURS),
        notes=[
            *(
                f"{name}: {median(found):,.0f} records/s, the start of the process included"
                for name, found in rates.items()
            ),
            *(outcome.line() for outcome in outcomes),
            *table(outcomes),
        ],
        also={"rows": rows, "rates": rates, "outcomes": [outcome.document() for outcome in outcomes]},
        single=(median(rates.get(OURS, [0.0])), peak),
    )


def _asked(variable: str, known: Sequence[str]) -> list[str]:
    """The names in an environment variable, in their order there; all known names if it isn't set.

    :raises BenchmarkFailed: a name isn't known
    """
    asked = os.environ.get(variable, ",".join(known)).split(",")
    if unknown := set(asked) - set(known):
        raise BenchmarkFailed(f"{variable} has {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asked


class _Shootout:
    """All trials, on one stack. Each trial adds its result to `outcomes` or `rates`."""

    def __init__(self, environment: Mapping[str, str], say: Say, rows: int) -> None:
        self._environment = environment
        self._settings = settings_of(environment)
        self._say = say
        self._records = read_records(self._settings, rows)
        self._folder = FOLDER / "exactly_once"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._failures: Counter[type[Subject]] = Counter()
        self.outcomes: list[Outcome] = []
        #: Records per second of runs without a fault, measured from the start of the process.
        self.rates: dict[str, list[float]] = {}

    def run(self, subject: type[Subject], fault: str, seed: int) -> None:
        """Runs one trial. A subject that failed in two trials isn't run again."""
        if self._failures[subject] > 1 or (fault == "rebalance" and not subject.has_group):
            return
        name = f"{subject.name}-{fault}-{seed}"
        busy = wait_until_quiet() if fault == _RATE else 0.0
        noise = f"; other processes took {busy:.0%} of the machine before" if busy > _BUSY else ""
        try:
            said = self._one(subject(self._trial(name, seed)), fault)
        except (FraudstreamError, subprocess.CalledProcessError) as error:
            self._failures[subject] += 1
            self.outcomes.append(Outcome(subject.name, fault, seed, None, error=str(error)))
            said = self.outcomes[-1].line()
        self._say(said + noise)

    def _trial(self, name: str, seed: int) -> Trial:
        trial = Trial(f"shootout-{name}", self._folder / name, self._environment, seed)
        trial.files.mkdir(parents=True)
        create(self._environment, [trial.topic])
        return trial

    def _one(self, subject: Subject, fault: str) -> str:
        feed = Feed(self._settings, subject.trial.topic, self._records)
        try:
            if fault == _RATE:
                rate = run_rate(subject, feed, self._records)
                self.rates.setdefault(subject.name, []).append(rate)
                return f"{subject.name}: {rate:,.0f} records/s, the start of the process included"
            outcome = run_trial(subject, fault, feed, self._records, Control(STACK, LOGS))
            self.outcomes.append(outcome)
            return outcome.line()
        finally:
            delete(self._environment, [subject.trial.topic])
            shutil.rmtree(subject.trial.files)
