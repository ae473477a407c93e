"""1,000,000 rows (ROWS: another number) through all tasks in parallel: produce, lake, mail (to smtp-sink), cases."""

import os
import time
from collections.abc import Callable, Mapping

from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import run
from benchmarks.harness.together import CONSUMERS, Lags, Task, tasks
from benchmarks.harness.topics import settings_of
from local.programs.postfix import smtp_sink

_ROWS = int(os.environ.get("ROWS") or 1_000_000)


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Starts producer and consumers in parallel; stops each consumer when its group has no lag any more."""
    store = lake(environment)
    uri = upload(store, paysim(_ROWS), "replay.csv")
    seconds: dict[str, float] = {}
    with smtp_sink() as port, tasks(environment, port) as running:
        started = time.perf_counter()
        producer = Task(environment, "benchmarks.ours.produce", uri)
        outcomes = {"produce": producer.outcome()}
        seconds["produce"] = time.perf_counter() - started
        say(f"produced after {seconds['produce']:.1f} s")
        lags = Lags(settings_of(environment))
        left = list(CONSUMERS)
        while left:
            for role, topic in [key for key in left if not lags.of(*key)]:
                name = f"{role} {topic}"
                seconds[name] = time.perf_counter() - started
                outcomes[name] = running[role, topic].stop()
                left.remove((role, topic))
                say(f"{name}: {outcomes[name]['items']:,} after {seconds[name]:.1f} s")
            if any(running[key].ended() for key in left):
                raise SystemExit(next(running[key].outcome() for key in left if running[key].ended()))
            time.sleep(0.5)
        lags.close()
    audited = run("benchmarks.ours.audit", [], environment)
    frauds = outcomes[f"write_lake {FRAUD_TRANSACTION}"]["items"]
    rows = frauds + outcomes[f"write_lake {NON_FRAUD_TRANSACTION}"]["items"]
    mails = sum(outcomes[f"send_mail {topic}"]["items"] for topic in (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION))
    peaks = {name: round(outcome["peak_rss_mib"]) for name, outcome in outcomes.items()}
    whole = max(seconds.values())
    return Report(
        "replay",
        "s for everything",
        {},
        {
            "each row in the lake": rows == _ROWS,
            "a mail for each row": mails == _ROWS,
            "each fraud handed to a DAG run": outcomes[f"open_cases {FRAUD_TRANSACTION}"]["cases"] == frauds,
            "audit green": audited["ok"],
        },
        notes=[
            *(f"{name}: {seconds[name]:.1f} s, peak RSS {peaks[name]} MiB" for name in outcomes),
            f"audit: {audited['seconds']:.1f} s, peak RSS {audited['peak_rss_mib']:.0f} MiB, ok {audited['ok']}",
            "Cases are handed over and not opened in Airflow, which doesn't run here.",
        ],
        also={
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "peak_rss_mib_of": peaks,
            "audit_seconds": round(audited["seconds"], 1),
        },
        single=(round(whole, 1), max(peaks.values())),
    )
