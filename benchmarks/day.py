"""A simulated day: rows arrive in PaySim's daily pattern, pass through the pipeline's DAGs, and customers answer.

The day has 30,000 rows (ROWS) and takes 2.5 minutes (MINUTES), without the stack's start and the last answers.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from fraudstream.cases.answers.publisher import STATUS_OF
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.orchestration.runs import DAG_ID
from fraudstream.settings import ROOT
from pydantic import SecretStr

from benchmarks.daily.findings import report
from benchmarks.daily.pattern import HOURS, Habits, used
from benchmarks.daily.usage import Usage
from benchmarks.harness.dataset import lake, upload
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.harness.stack import FOLDER
from benchmarks.harness.together import CONSUMERS, Lags, Task
from benchmarks.harness.topics import settings_of
from benchmarks.waiting.airflow import Airflow
from benchmarks.waiting.customers import Customers
from local.programs.postfix import tool
from local.stack.applications import airflow as airflow_parts
from local.stack.applications import pipeline, postgres
from local.stack.environment import machine_environment, stack_environment
from local.stack.ports import HOST, Ports
from local.supervisor.part import Listening, Part

_ROWS = int(os.environ.get("ROWS") or 30_000)
_SECONDS = 60 * float(os.environ.get("MINUTES") or 2.5)
#: PaySim's share of frauds, but on a short day more, up to 300: 30,000 rows would have only 39, too few for a p99.
_FRAUDS = max(plan(_ROWS).frauds, min(300, _ROWS // 100))
_DAGS = ("consume_non_fraud_transactions", "consume_fraud_transactions", "consume_fraud_confirmations")
_GROUPS = (*CONSUMERS, ("write_lake", FRAUD_CONFIRMATION), ("send_mail", FRAUD_CONFIRMATION))
_READY_WITHIN, _DONE_WITHIN = 120.0, 120.0
#: Seconds until the consumer groups have assigned their partitions.
_JOIN_SECONDS = 15.0
_IDLE_SECONDS = 15.0
_SEED = 1

Say = Callable[[str], None]


def parts(ports: Ports) -> list[Part]:
    """The parts beyond brokers, registry and store: Airflow with the pipeline's DAGs, the site, and smtp-sink."""
    _, site = pipeline(ports)
    site.env = site.env | {"FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "1000000000"}
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = Part(
        name="mail",
        command=[*tool("smtp-sink"), *user, f"{HOST}:{ports['smtp']}", "200"],
        env=machine_environment(),
        cwd=ROOT,
        ready=Listening(port=ports["smtp"]),
        ports=[ports["smtp"]],
    )
    return [*postgres(ports), *airflow_parts(ports), site, sink]


def benchmark(environment: Mapping[str, str], say: Say) -> Report:
    """Runs the day. Latencies come from times in records, mail log, objects, snapshots and Airflow's database."""
    # Airflow's tasks and the compaction must share one catalog.
    name = "FRAUDSTREAM_LAKE_CATALOG_URI"
    environment = {**environment, name: stack_environment()[name]}
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log each request to the registry
    keys = [SecretStr(environment["FRAUDSTREAM_CONFIRMATION_KEYS"])]
    settings = settings_of(environment).model_copy(update={"confirmation_keys": keys})
    with Airflow(environment) as airflow, Usage() as usage:
        _start_consumers(airflow)
        idle = _idle(airflow, usage)
        say(f"cores taken while nothing comes: {idle}")
        found = _Day(environment, Customers(environment, settings, airflow), airflow, usage, say).run()
        lags = Lags(settings, _GROUPS)
        try:
            airflow.wait_for(lambda: not any(lags.of(*group) for group in _GROUPS), _DONE_WITHIN)
        finally:
            lags.close()
        return report(found | {"idle_cores": idle}, lake(environment), airflow.outcomes(), _SECONDS)


def _start_consumers(airflow: Airflow) -> None:
    airflow.api.wait_for_dags({DAG_ID, *_DAGS})
    for dag in (DAG_ID, *_DAGS):
        airflow.api.pause(dag, False)
    waited = airflow.wait_for(lambda: airflow.running() == len(_GROUPS), _READY_WITHIN)
    if airflow.running() != len(_GROUPS):
        raise BenchmarkFailed(f"{airflow.running()} consumers run after {waited:.0f} s, expected {len(_GROUPS)}")
    time.sleep(_JOIN_SECONDS)


def _idle(airflow: Airflow, usage: Usage) -> dict[str, float]:
    """CPU cores that each part uses while no rows arrive."""
    tasks, before = airflow.tasks(), usage.cpu(airflow.tasks())
    time.sleep(_IDLE_SECONDS)
    return {part: round(cpu / _IDLE_SECONDS, 3) for part, cpu in used(before, usage.cpu(tasks)).items()}


class _Day:
    """The rows, the customers and the compaction of one day."""

    def __init__(
        self, environment: Mapping[str, str], customers: Customers, airflow: Airflow, usage: Usage, say: Say
    ) -> None:
        self._environment = environment
        self._customers = customers
        self._airflow = airflow
        self._usage = usage
        self._say = say
        self._habits = Habits(_SEED)
        self._known: set[str] = set()
        #: By case: the answer that its customer will give, and the time of that answer.
        self._intended: dict[str, tuple[str, float]] = {}
        self.clicks: dict[str, tuple[float, str]] = {}

    def run(self) -> dict[str, Any]:
        """Runs the day and returns its measurements."""
        path = FOLDER / f"day-{_ROWS}.csv"
        write_file(path, plan(_ROWS, frauds=_FRAUDS), _SEED, lambda _: None)
        uri = upload(lake(self._environment), path, path.name)
        started = time.time() + 3  # time for the two processes to start
        before, busy = self._usage.cpu(self._airflow.tasks()), _busy_seconds()
        self._say(f"{_ROWS:,} rows with {_FRAUDS} frauds in {_SECONDS:.0f} s, an hour in {_SECONDS / HOURS:.2f} s")
        producer = Task(self._environment, "benchmarks.daily.rows", uri, _ROWS, _SECONDS, started)
        tables = Task(self._environment, "benchmarks.daily.tables", _SECONDS, started)
        try:
            while time.time() < started + _SECONDS or not producer.ended():
                self._answer()
                time.sleep(0.5)
            produced, compacted = producer.outcome(), tables.stop()
            self._say(f"the day is over; {produced['late']:.1f} s late, {len(self.clicks)} answers")
            self._airflow.wait_for(lambda: self._airflow.resolved() >= len(self.clicks), _DONE_WITHIN)
        finally:
            for task in (producer, tables):
                task.kill()
        own = {"producer": produced, "compaction": compacted}
        cpu = used(before, self._usage.cpu(self._airflow.tasks())) | {
            name: outcome["cpu_seconds"] for name, outcome in own.items()
        }
        others = _busy_seconds() - busy - sum(cpu.values())
        return {
            "share_of_other_processes": round(others / (time.time() - started) / (os.cpu_count() or 1), 2),
            "started": started,
            "ended": started + _SECONDS,
            "rows": produced["items"],
            "late": round(produced["late"], 1),
            "commits": compacted["commits"],
            "compactions": compacted["durations"],
            "clicks": self.clicks,
            "cpu": cpu,
            "peaks": self._usage.peak_mib(self._airflow.tasks())
            | {name: round(outcome["peak_rss_mib"]) for name, outcome in own.items()},
        }

    def _answer(self) -> None:
        """Sends the answers that are due, and draws answer and time for customers of new cases."""
        now = time.time()
        for case in self._customers.frauds():
            if case in self._known:
                continue
            self._known.add(case)
            if habit := self._habits.next():
                self._intended[case] = habit[0], now + habit[1] * _SECONDS / HOURS
        for answer in STATUS_OF:
            due = [case for case, (given, at) in self._intended.items() if given == answer and at <= now]
            for case, at in self._customers.answer(due, answer=answer).items() if due else ():
                self.clicks[case] = at, STATUS_OF[answer]
                del self._intended[case]


def _busy_seconds() -> float:
    """CPU seconds of all cores since the machine's start, without idle time."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
