"""The report of the benchmark `day`: latencies, freshness of the table, CPU and memory of each part, and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from fraudstream.lake.store.cloud_storage import Store

from benchmarks.daily.costs import dollars_per_million
from benchmarks.daily.pattern import HOURS, ages, hour_of
from benchmarks.harness.report import Report
from benchmarks.latency import mails, objects, summary


def report(
    found: dict[str, Any],
    store: Store,
    outcomes: Mapping[str, Sequence[tuple[float, str, float]]],
    seconds: float,
) -> Report:
    """Builds the report.

    :param found: the result of the day
    :param outcomes: for each case, its succeeded sensors: end time, status and start time (seconds since 1970)
    :param seconds: duration of the simulated day
    """
    mail, json = mails(store), objects(store)
    clicks: dict[str, tuple[float, str]] = found.pop("clicks")
    # If the sensor started after the click, the case waited for its DAG run: the pace of open_cases isn't compressed
    # as the day is. Such cases are left out.
    waited = [case for case, (at, _) in clicks.items() if case in outcomes and outcomes[case][0][2] <= at]
    sensor = pl.Series([outcomes[case][0][0] - clicks[case][0] for case in waited], dtype=pl.Float64)
    points = ages(found["commits"], max(found["ended"], *(at for at, _ in found["commits"])))
    rows, cpu = found["rows"], {part: round(spent, 1) for part, spent in found["cpu"].items()}
    dollars = {part: round(cost, 5) for part, cost in dollars_per_million(cpu, rows).items()}
    also = {
        **found,
        "mail": summary(mail["seconds"]),
        "lake": summary(json["seconds"]),
        "sensor": summary(sensor) | {"answers": len(waited), "before_their_sensor": len(clicks) - len(waited)},
        "ages": [(round(at - found["started"], 1), round(age, 1)) for at, age in points],
        "seconds": seconds,
        "hours": by_hour(mail, json, found["started"], seconds),
        "cpu": cpu,
        "dollars_per_million": dollars,
    }
    return Report(
        "day",
        "s, p99 from record to mail",
        {},
        {
            "each row and answer in the lake": len(json) == rows + len(clicks),
            "a mail for each row and answer": len(mail) == rows + len(clicks),
            "each answer resolved its sensor once": {case: [status] for case, (_, status) in clicks.items()}
            == {case: [status for _, status, _ in ends] for case, ends in outcomes.items()},
        },
        notes=_notes(also),
        also=also,
        single=(also["mail"]["p99"], max(found["peaks"].values())),
    )


def by_hour(mail: pl.DataFrame, json: pl.DataFrame, started: float, seconds: float) -> list[dict[str, Any]]:
    """For each simulated hour: the number of records and the summary of their latencies to mail and lake."""
    hours: list[dict[str, Any]] = [{"records": 0} for _ in range(HOURS)]
    for name, spans in {"mail": mail, "lake": json}.items():
        times = spans["at"].dt.timestamp("ms") / 1000
        numbers = pl.Series("hour", [hour_of(at, started, seconds) for at in times])
        for (number,), taken in spans.with_columns(numbers).group_by("hour"):
            hour = hours[int(str(number))]
            hour[name] = summary(taken["seconds"])
            hour["records"] = max(hour["records"], len(taken))
    return hours


def _notes(also: Mapping[str, Any]) -> list[str]:
    compactions, cpu, dollars = also["compactions"], also["cpu"], also["dollars_per_million"]
    oldest = max(age for _, age in also["ages"])
    ways = {"record → mail accepted": "mail", "record → JSON in the lake": "lake", "click → sensor": "sensor"}
    return [
        *(
            f"{way}: p50 {also[name]['p50']:.2f} s, p99 {also[name]['p99']:.2f} s, max {also[name]['max']:.2f} s"
            for way, name in ways.items()
        ),
        f"of {also['sensor']['answers']} answers; {also['sensor']['before_their_sensor']} came before their sensor",
        f"newest row of the table: at most {oldest:.1f} s old, of {len(also['commits'])} commits; an hour has "
        f"{also['seconds'] / HOURS:.2f} s; "
        f"{len(compactions)} compactions, the longest {max(compactions):.1f} s",
        *(
            f"{part}: {spent:.1f} s of CPU, {also['idle_cores'].get(part, 0):.3f} cores while nothing comes, "
            f"peak {also['peaks'].get(part, 0)} MiB, {dollars.get(part, 0):.5f} dollars a million records (calculated)"
            for part, spent in cpu.items()
        ),
        f"all: {sum(cpu.values()):.1f} s of CPU, {sum(dollars.values()):.4f} dollars a million records (calculated)",
        f"other processes took {also['share_of_other_processes']:.0%} of the machine meanwhile",
    ]
