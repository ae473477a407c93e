"""Time from a click to the resolved sensor, with 100, 1,000 and 2,500 waiting cases, against other sensors of Airflow.

STAGES selects some of peers, 100, 1000, 2500, idle, trickle and 8213 (default: all but the last two). PEERS selects
some of the peers, TRIGGERERS sets the number of triggerers. In stage trickle 3,000 cases (or CASES) arrive, one every
half second.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from fraudstream.orchestration.runs import DAG_ID
from fraudstream.settings import ROOT, Settings
from pydantic import SecretStr

from benchmarks.harness.report import OURS, Report, reaches
from benchmarks.harness.rounds import WARM_UP, BenchmarkFailed, Figures
from benchmarks.harness.topics import settings_of
from benchmarks.waiting.airflow import Airflow, heartbeats, sample
from benchmarks.waiting.customers import RATE, Customers
from benchmarks.waiting.interleaved import Round, interleave
from benchmarks.waiting.peers import MOST_SECONDS, PEERS, connections, run_peer
from benchmarks.waiting.progress import wait_for_count
from benchmarks.waiting.stages import TRICKLE, WHOLE, WHOLE_STAGE, peer_cases, peers, stages, triggerers
from benchmarks.waiting.trickle import CONSUMER, trickle
from local.stack.applications import airflow as airflow_parts
from local.stack.applications import pipeline, postgres
from local.stack.environment import LOGS, STACK
from local.stack.ports import Ports
from local.stack.services import mail
from local.supervisor.control import Control
from local.supervisor.part import Part

_WHOLE_ROWS = 10_000
_WHOLE_WITHIN = 500.0
#: By the number of waiting cases: how many are answered at 20 a second, and how often all are answered at once.
_STEADY = {100: 100, 1_000: 400, 2_500: 400}
_BURSTS = {100: 3, 1_000: 1, 2_500: 1}
_SAMPLED = (0, 500, 1_000, 2_500)
_WITHIN = 400.0
_PEER_ROUNDS = 3
#: The warm-up before the peers' rounds: number of cases, and seconds within which all must be resolved.
_WARM_UP = (10, 30.0)

Say = Callable[[str], None]


def parts(ports: Ports) -> list[Part]:
    """The parts beyond brokers, registry and store: Airflow, also with this benchmark's DAGs, site and mail server."""
    _, site = pipeline(ports)
    bundle = '{{"name": "{}", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {{{}}}}}'
    bundles = [bundle.format("dags-folder", ""), bundle.format("benchmarks", f'"path": "{ROOT}/benchmarks/dags"')]
    more = {
        "PYTHONPATH": str(ROOT),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": f"[{', '.join(bundles)}]",
    }
    airflow = airflow_parts(ports, triggerers())
    for part in airflow:
        part.env = part.env | more | connections(site.env["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"], part.name)
    site.env = site.env | {"FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "1000000000"}
    return [*postgres(ports), *airflow, site, mail(ports)]


def benchmark(environment: Mapping[str, str], say: Say) -> Report:
    """Runs the selected stages one after the other, in one Airflow."""
    keys = [SecretStr(environment["FRAUDSTREAM_CONFIRMATION_KEYS"])]
    settings = settings_of(environment).model_copy(update={"confirmation_keys": keys})
    with Airflow(environment) as airflow:
        airflow.api.wait_for_dags({DAG_ID, "produce_transactions", CONSUMER, "idle", *PEERS})
        return _Run(environment, settings, airflow, say).report(stages())


class _Run:
    """One run of the benchmark. Its stages add their results to `_also`, `_checks` and `_notes`."""

    def __init__(self, environment: Mapping[str, str], settings: Settings, airflow: Airflow, say: Say) -> None:
        self._environment = environment
        self._airflow = airflow
        self._customers = Customers(environment, settings, airflow)
        self._say = say
        self._answered: set[str] = set()
        self._waiting: list[str] = []
        self._cost: dict[str, dict[int, dict[str, float]]] = {"ours": {}, "idle": {}}
        self._figures: dict[str, Figures] = {}
        self._fastest = 0.0
        self._also: dict[str, Any] = {"triggerers": triggerers()}
        self._checks: dict[str, bool] = {}
        self._notes: list[str] = []

    def report(self, asked: Sequence[str]) -> Report:
        """Runs the stages and returns the report."""
        self._sample("ours", 0)
        for stage in asked:
            if stage == "peers":
                self._peers()
            elif stage == "idle":
                self._idle()
            elif stage == TRICKLE:
                self._trickle()
            elif stage == WHOLE_STAGE:
                self._whole()
            else:
                self._stage(int(stage))
        self._check_outcomes()
        for who, costs in self._cost.items():
            self._notes += [f"{who}, {number:,} waiting: {cost}" for number, cost in costs.items()]
        self._also["cost"] = self._cost
        single = None if OURS in self._figures else (self._fastest, self._peak())
        return Report(
            "confirmation",
            f"resolutions/s at N = {self._figures[OURS].items}" if OURS in self._figures else "resolutions/s",
            self._figures if OURS in self._figures else {},
            self._checks,
            notes=self._notes,
            also=self._also,
            single=single,
        )

    def _stage(self, number: int) -> None:
        """Opens N cases and answers some at 20 a second; then fills up to N again and answers all at once."""
        for wanted in [size for size in (*_SAMPLED, number) if size <= number and size not in self._cost["ours"]]:
            self._fill(wanted)
            self._sample("ours", wanted)
        self._fill(number)
        steady, self._waiting = self._waiting[: _STEADY[number]], self._waiting[_STEADY[number] :]
        seconds = self._steady(steady)
        bursts = []
        for _ in range(_BURSTS[number]):
            self._fill(number)
            bursts.append(self._burst(number))
        rate = float(np.median([outcome["items"] / outcome["seconds"] for outcome in bursts]))
        self._also[f"waiting_{number}"] = {**seconds, "resolutions_per_second": round(rate, 1)}
        self._notes.append(
            f"{number:,} waiting, {len(steady)} answered at {RATE}/s: click → success p50 {seconds['p50']:.2f} s, p99 "
            f"{seconds['p99']:.2f} s, max {seconds['max']:.2f} s; all at once: {rate:.1f} resolutions/s"
        )
        if number == 100:
            self._figures.setdefault(OURS, Figures(bursts))
        if number == 1_000:
            self._checks["1,000 waiting: p99 < 5 s"] = seconds["p99"] < 5
            self._checks["1,000 waiting: 40 resolutions/s"] = rate >= 40

    def _trickle(self) -> None:
        """Lets cases arrive one by one; at the end answers some at 20 a second, then the others at once."""
        cases, figures = trickle(self._airflow, self._customers, self._say)
        self._waiting += cases
        last, self._waiting = self._waiting[-_STEADY[100] :], self._waiting[: -_STEADY[100]]
        seconds = self._steady(last)
        if self._waiting:
            self._burst(len(self._waiting))
        self._also["trickle"] = figures | seconds
        self._notes.append(f"trickle: {self._also['trickle']}")
        self._checks["trickle: p99 < 5 s at the end"] = seconds["p99"] < 5
        self._checks["trickle: a run for 30 s of cases, and ten more"] = figures["runs"] <= figures["seconds"] / 30 + 11

    def _whole(self) -> None:
        """Produces and opens as many cases as PaySim has frauds with the pipeline's DAGs, then answers all at once."""
        started = time.monotonic()
        with heartbeats(self._airflow) as worst:
            self._customers.replay(_WHOLE_ROWS, WHOLE)
            wait_for_count(self._airflow.waiting, WHOLE, _WHOLE_WITHIN, self._say, "waiting")
            waiting = time.monotonic() - started
            if self._airflow.waiting() != WHOLE:
                raise BenchmarkFailed(f"{self._airflow.waiting():,} cases wait after {waiting:.0f} s, not {WHOLE:,}")
            self._airflow.api.pause(CONSUMER, True)
            self._say(f"{WHOLE:,} wait after {waiting:.0f} s; oldest heartbeats {worst}")
            self._sample("ours", WHOLE)
            self._waiting = [case for case in self._customers.frauds() if case not in self._answered]
            memory = sum(Control(STACK, LOGS).memory().values()) / 2**20
            outcome = self._burst(WHOLE)
        self._also["whole"] = {
            "cases": WHOLE,
            "seconds_until_all_wait": round(waiting),
            "seconds_to_resolve": round(outcome["seconds"]),
            "resolutions_per_second": round(WHOLE / outcome["seconds"], 1),
            "stack_pss_mib": round(memory),
            "oldest_heartbeats": worst,
        }
        self._notes.append(f"PaySim's frauds: {self._also['whole']}")
        self._checks[f"{WHOLE:,} cases waited and were resolved"] = (
            self._airflow.resolved() == len(self._answered) >= WHOLE
        )

    def _fill(self, number: int) -> None:
        """Opens cases until `number` cases wait and all their triggers are assigned to triggerers."""
        if (missing := number - len(self._waiting)) <= 0:
            return
        started = time.monotonic()
        with heartbeats(self._airflow) as worst:
            self._waiting += self._customers.open(missing)
            opened = time.monotonic() - started
            self._airflow.wait_for(lambda: self._airflow.waiting() == number, _WITHIN)
        if self._airflow.waiting() != number:
            raise BenchmarkFailed(f"{self._airflow.waiting()} cases wait after {_WITHIN:.0f} s, expected {number}")
        time.sleep(3)  # a triggerer starts a trigger a moment after the database shows it as assigned
        self._say(
            f"{number:,} wait: {missing:,} opened in {opened:.0f} s, all waiting after "
            f"{time.monotonic() - started:.0f} s; oldest heartbeats {worst}"
        )

    def _steady(self, cases: Sequence[str]) -> dict[str, float]:
        clicks = self._customers.answer(cases, RATE)
        self._answered |= clicks.keys()
        self._until_resolved()
        outcomes = self._airflow.outcomes()
        waited = np.array([outcomes[case][0][0] - click for case, click in clicks.items()])
        p50, p99 = np.percentile(waited, [50, 99])
        found = {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(waited.max()), 2)}
        self._say(f"{len(cases)} answered at {RATE}/s: {found}")
        return found

    def _burst(self, number: int) -> dict[str, Any]:
        cases, self._waiting = self._waiting, []
        started = min(self._customers.answer(cases).values())
        answered = time.time() - started
        self._answered |= set(cases)
        self._until_resolved()
        seconds = max(self._airflow.ends()) - started
        self._say(
            f"{number:,} answered at once, in {answered:.1f} s: resolved in {seconds:.1f} s, {number / seconds:.1f}/s"
        )
        self._fastest = max(self._fastest, round(number / seconds, 1))
        return {"items": number, "seconds": seconds, "peak_rss_mib": self._peak()}

    def _until_resolved(self) -> None:
        wanted = len(self._answered)
        self._airflow.wait_for(lambda: self._airflow.resolved() >= wanted, _WITHIN)
        if (found := self._airflow.resolved()) != wanted:
            raise BenchmarkFailed(f"{found:,} sensors are resolved after {_WITHIN:.0f} s, expected {wanted:,}")

    def _sample(self, who: str, number: int) -> None:
        self._cost[who][number] = sample()
        self._say(f"{who}, {number:,} waiting: the triggerers take {self._cost[who][number]}")

    def _peak(self) -> float:
        return max(cost["pss_mib"] for costs in self._cost.values() for cost in costs.values())

    def _peers(self) -> None:
        """Runs the pipeline's sensors and the peers in turn: cases wait, and all are answered at once."""

        def ours(number: int, _: int) -> dict[str, Any]:
            self._fill(number)
            return self._burst(number) | {"waiting": number}

        def peer(name: str, number: int, label: int, within: float = MOST_SECONDS) -> dict[str, Any]:
            return run_peer(name, str(label), number, self._environment, self._airflow, self._say, within=within)

        chosen, cases = peers(), peer_cases()
        few, seconds = _WARM_UP
        ours(few, WARM_UP)
        for name in chosen:
            peer(name, few, WARM_UP, seconds)
        subjects: dict[str, Round] = {OURS: partial(ours, cases)}
        subjects |= {name: partial(peer, name, cases) for name in chosen}
        figures, unfinished = interleave(subjects, _PEER_ROUNDS)
        self._figures = figures
        self._notes += [f"{name}: {PEERS[name].configuration}" for name in chosen]
        self._notes += [
            f"{name}: did not finish, {outcome['items']} of {outcome['waiting']} resolved in {outcome['seconds']:.0f} s"
            for name, outcome in unfinished.items()
        ]
        self._also["unfinished"] = {name: outcome["items"] for name, outcome in unfinished.items()}
        for name in ("stock_default", "stock_tuned"):
            if name in figures:
                self._checks[f"4 x {name}"] = reaches(figures[OURS], 4, figures[name])

    def _idle(self) -> None:
        """Measures triggers that do nothing, to find Airflow's own share of the cost."""
        open_now = 0
        conf = {"cases": [{"idTransaction": f"{n:030d}", "filler": "x" * 400} for n in range(200)]}
        for number in _SAMPLED:
            while open_now < number:
                size = min(200, number - open_now)
                self._airflow.open("idle", f"idle-{open_now}", {"cases": conf["cases"][:size]})
                open_now += size
            self._airflow.wait_for(partial(self._idle_wait, number), _WITHIN)
            time.sleep(3)
            self._sample("idle", number)
        self._airflow.close("idle")

    def _idle_wait(self, number: int) -> bool:
        return self._airflow.waiting("idle") == number

    def _check_outcomes(self) -> None:
        outcomes = self._airflow.outcomes()
        once = all(len(found) == 1 and found[0][1] == "REPORTED_FRAUD" for found in outcomes.values())
        self._checks["each answered case resolved once, as answered"] = once and outcomes.keys() == self._answered
