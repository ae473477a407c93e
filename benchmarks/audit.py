"""The audit of 1,000,000 new rows after 6 million audited rows (MILLIONS: another number), and of 1,000,000 alone."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.lake.stream.names import FOLDER_OF
from rich.console import Console
from rich.progress import Progress

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.report import OURS, Report
from benchmarks.harness.rounds import BenchmarkFailed, Figures, run, wait_until_quiet

_ROWS = 1_000_000
_MILLIONS = int(os.environ.get("MILLIONS") or 6)
_ROUNDS = 3
_ALONE = "1,000,000 rows alone"
_MOST = 1.3


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Runs in one lake: audits the first million alone, then all millions, then only one more million."""
    store, path = lake(environment), paysim(_ROWS)
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    with Progress(console=console) as bar:
        task = bar.add_task("million rows", total=_MILLIONS + 1)

        def million(number: int) -> None:
            _add(environment, upload(store, path, f"audit-{number}.csv"))
            bar.advance(task)

        million(0)
        _audited(environment)  # warm-up: the brokers' Java is slow until it is compiled
        alone = _figures(environment, _ALONE, say)
        for number in range(1, _MILLIONS):
            million(number)
        whole = _audited(environment, "save")
        say(f"audit of {_MILLIONS},000,000 rows: {whole['seconds']:.1f} s, peak RSS {whole['peak_rss_mib']:.0f} MiB")
        compacted = run("benchmarks.ours.tables.compact_all", [], environment)
        say(f"{compacted['items']:,} rows of the lake moved to the tables")
        million(_MILLIONS)
        ours = _figures(environment, f"{_ROWS:,} rows after {_MILLIONS},000,000", say, "on")
    ratio = alone.median / ours.median
    return Report(
        "audit",
        "records/s",
        {OURS: ours, _ALONE: alone},
        {
            "the records of a million rows": ours.items == alone.items == 2 * _ROWS,
            f"1 M after {_MILLIONS} M at most {_MOST} x 1 M alone": ratio <= _MOST,
        },
        notes=[
            f"1 M after {_MILLIONS} M takes {ratio:.2f} times as long as 1 M alone. Each record counts twice: for the"
            " lake and for the mail log.",
            f"The {_MILLIONS} M are compacted, as they are after each run of compact_lake; the 1 M are JSON.",
            "The mail log is written without sending mails.",
        ],
        also={"whole": whole, "times_alone": round(ratio, 3)},
    )


def _add(environment: Mapping[str, str], uri: str) -> None:
    """Writes the rows of a file to the topics, the lake and the mail log."""
    run("benchmarks.ours.produce", [uri], environment)
    for topic in (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION):
        run("benchmarks.ours.lake", [topic, FOLDER_OF[topic]], environment)
        run("benchmarks.ours.mail_log", [FOLDER_OF[topic]], environment)


def _audited(environment: Mapping[str, str], *how: str) -> dict[str, Any]:
    outcome = run("benchmarks.ours.audit", how, environment)
    if not outcome["ok"] or outcome["behind"]:
        raise BenchmarkFailed(f"the audit failed: {outcome['problems']}, {outcome['behind']} records behind")
    return outcome


def _figures(environment: Mapping[str, str], name: str, say: Callable[[str], None], *how: str) -> Figures:
    figures = Figures()
    for number in range(_ROUNDS):
        busy = wait_until_quiet()
        outcome = _audited(environment, *how)
        figures.outcomes.append(outcome)
        say(
            f"round {number + 1} {name}: {outcome['seconds']:.2f} s, CPU {outcome['cpu_seconds']:.1f} s, peak RSS"
            f" {outcome['peak_rss_mib']:.0f} MiB; other processes took {busy:.0%} of the machine before"
        )
    return figures
