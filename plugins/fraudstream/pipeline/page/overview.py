"""Makes the content of the page "Pipeline" from samples: the figures with their colours, and the plots.

A link names the page that explains a figure: ``dag:NAME``, ``run:DAG:RUN``, ``asset:NAME``, ``jobs`` or ``desk``. The
page turns it into an address.
"""

from collections.abc import Sequence

from markupsafe import Markup

from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.pipeline import thresholds
from fraudstream.pipeline.airflow_health import Health
from fraudstream.pipeline.page.figures import DAY, HOUR, Figure, Overview, Section, duration, moment, number
from fraudstream.pipeline.page.plots import Line, Point, plot, rates
from fraudstream.pipeline.sampling.groups import GROUPS
from fraudstream.pipeline.sampling.sample import Sample
from fraudstream.pipeline.thresholds import Threshold

_OF_HOUR = ("-60 min", "-45 min", "-30 min", "-15 min", "now")
_OF_DAY = ("-24 h", "-18 h", "-12 h", "-6 h", "now")
#: The rate between samples that are further apart than this, in seconds, is unknown.
_GAP = 300.0
_COUNTED = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, FRAUD_CONFIRMATION)
_FOLDERS = {"transaction": "transaction", "fraud_confirmation": "fraud_confirmation", "email_confirmation": "mail log"}


def overview(history: Sequence[Sample], health: Health, now: float) -> Overview:
    """The content of the page.

    :param history: samples in the order of their times; the last one gives the figures
    :param now: seconds since 1970
    """
    if not history:
        found = Overview("never", problems=["No sample was taken yet: the API server takes the first one as it starts"])
        found.sections = [_airflow(health)]
        return found
    last = history[-1]
    found = Overview(moment(last.at), problems=list(last.problems))
    recent = [sample for sample in history if sample.at >= now - HOUR]
    found.sections = [
        _groups(recent, last),
        _topics(recent, last),
        _cases(last),
        _mails(last),
        _dead_letters(recent, last),
        _lake(last, health, now),
        _airflow(health),
    ]
    found.sections[0].groups["Sample"] = [
        Figure(
            "age",
            duration(now - last.at),
            "",
            thresholds.SAMPLE_SECONDS.colour(now - last.at),
            round(now - last.at),
        )
    ]
    found.plots = _plots(history, now)
    return found


def _groups(recent: Sequence[Sample], last: Sample) -> Section:
    groups: dict[str, list[Figure]] = {}
    for group in GROUPS:
        figures = last.groups.get(group.name)
        if figures is None:
            continue
        link = f"dag:{group.dag}"
        done = [
            (one.at, float(one.topics.get(group.topic, 0) - one.groups[group.name].lag))
            for one in recent
            if group.name in one.groups
        ]
        seconds = figures.lag_seconds
        colour = thresholds.LAG_SECONDS.colour(seconds)
        groups[f"{group.role} of {group.topic}"] = [
            Figure("records/s", number(_last_rate(done)), link, "", _last_rate(done)),
            Figure("lag, records", number(figures.lag), link, colour, figures.lag),
            Figure("lag", "-" if seconds is None else duration(seconds), link, colour, seconds),
        ]
    return Section("Consumer groups", groups)


def _topics(recent: Sequence[Sample], last: Sample) -> Section:
    groups = {}
    for topic in _COUNTED:
        points = [(one.at, float(one.topics[topic])) for one in recent if topic in one.topics]
        link = f"asset:fraudstream_topic_{topic}"
        groups[topic] = [
            Figure("records/s", number(_last_rate(points)), link, "", _last_rate(points)),
            Figure("end offset", number(last.topics.get(topic)), link, "", last.topics.get(topic)),
        ]
    link = "dag:produce_transactions"
    groups["Rows of files"] = [
        Figure({"fraud": "fraud", "nonFraud": "not fraud"}.get(name, name), number(rows), link, "", rows)
        for name, rows in last.produced.items()
    ]
    return Section("Produced", groups)


def _cases(last: Sample) -> Section:
    cases = last.cases
    if cases is None:
        return Section("Cases", {})
    link = "desk"
    waiting = [_counted("all", cases.open, link, thresholds.CASES_WAITING)]
    waiting += [_counted(name, count, link) for name, count in cases.waiting.items()]
    overdue = _counted("time is over", cases.overdue, "dag:close_expired_cases", thresholds.CASES_OVERDUE)
    undelivered = [
        _counted(name, count, "asset:fraudstream_topic_case_event", thresholds.UNDELIVERED_NOTICES)
        for name, count in cases.undelivered.items()
    ]
    answered = [
        _counted(name, count, f"asset:fraudstream_topic_{FRAUD_CONFIRMATION}")
        for name, count in sorted(cases.outcomes.items())
    ]
    nobody = [Figure("none", "0", "asset:fraudstream_topic_case_event", "green", 0)]
    return Section(
        "Cases",
        {"Waiting": [*waiting, overdue], "Outcomes": answered, "Notices not delivered": undelivered or nobody},
    )


def _mails(last: Sample) -> Section:
    if last.lake is None:
        return Section("Mail log", {})
    link = "asset:fraudstream_json_email_confirmation"
    return Section(
        "Mail log",
        {
            topic: [_counted(status, lines, link) for status, lines in sorted(by_status.items())]
            for topic, by_status in last.lake.mails.items()
        },
    )


def _dead_letters(recent: Sequence[Sample], last: Sample) -> Section:
    if last.cases is None:  # dead letters and cases are counted together
        return Section("Dead letters", {"Last hour": [Figure("all", number(None), "dag:audit_lake")]})
    first = next((one for one in recent if one.cases is not None), last)
    new = max(0, last.dead - first.dead)
    groups = {"Last hour": [_counted("all", new, "dag:audit_lake", thresholds.DEAD_LETTERS)]}
    for topic, reasons in last.dead_letters.items():
        ordered = sorted(reasons.items(), key=lambda one: -one[1])
        groups[topic] = [_counted(reason, count, f"asset:fraudstream_topic_{topic}") for reason, count in ordered[:8]]
        if rest := sum(count for _, count in ordered[8:]):
            groups[topic].append(
                _counted(f"{len(ordered) - 8} other reasons", rest, f"asset:fraudstream_topic_{topic}")
            )
    return Section("Dead letters", groups)


def _lake(last: Sample, health: Health, now: float) -> Section:
    lake = last.lake
    groups: dict[str, list[Figure]] = {}
    if lake is not None:
        groups["Rows"] = [
            _counted(_FOLDERS.get(folder, folder), rows, f"asset:fraudstream_json_{folder}")
            for folder, rows in lake.rows.items()
        ]
        if lake.last_object_at is not None:
            folder = lake.last_object.partition("/")[0]
            ago = f"{duration(now - lake.last_object_at)} ago"
            last_object = Figure(lake.last_object, ago, f"asset:fraudstream_json_{folder}", "", lake.last_object_at)
            groups["Last object"] = [last_object]
        for folder, table in lake.tables.items():
            link = f"asset:fraudstream_table_{folder}"
            groups[f"Table {folder}"] = [
                _counted("rows", table.rows, link),
                _counted("snapshots", table.snapshots, link),
                Figure("last snapshot", f"{duration(now - table.committed_at)} ago", link, "", table.committed_at),
            ]
        if lake.audited_at is not None:
            late = thresholds.AUDIT_HOURS.colour((now - lake.audited_at) / HOUR)
            verdict = "green" if lake.audit_ok else "NOT OK"
            groups["Last audit"] = [
                Figure(
                    "verdict", verdict, _run_link(health, "audit_lake"), "green" if lake.audit_ok else "red", verdict
                ),
                Figure("when", f"{duration(now - lake.audited_at)} ago", _run_link(health, "audit_lake"), late),
            ]
    if (run := health.runs.get("compact_lake")) is not None:
        late = thresholds.COMPACTION_HOURS.colour((now - run.ended_at) / HOUR)
        groups["Last compaction"] = [
            Figure("run", run.state, _run_link(health, "compact_lake"), "red" if run.state == "failed" else "green"),
            Figure("when", f"{duration(now - run.ended_at)} ago", _run_link(health, "compact_lake"), late),
        ]
    return Section("Lake", groups)


def _airflow(health: Health) -> Section:
    groups = {
        "Heartbeats": [
            Figure(
                name,
                "never" if age is None else f"{duration(age)} ago",
                "jobs",
                "red" if age is None else thresholds.HEARTBEAT_SECONDS.colour(age),
                age,
            )
            for name, age in health.heartbeats.items()
        ],
        "Triggerers": [
            _counted(f"triggers on {one.host}", one.triggers, "dag:fraud_confirmation") for one in health.triggerers
        ],
    }
    load = health.load
    groups["Triggerers"] += [
        Figure(
            "load",
            "no triggerer runs" if load is None else f"{load:.0%} of {health.capacity:,} each",
            "jobs",
            "red" if load is None else thresholds.TRIGGERER_LOAD.colour(load),
            load,
        ),
        _counted("waiting for a triggerer", health.unassigned, "jobs"),
    ]
    disk = thresholds.DISK_SHARE.colour(health.disk)
    groups["Disk of this server"] = [Figure("in use", f"{health.disk:.0%}", "", disk, health.disk)]
    return Section("Airflow", groups)


def _run_link(health: Health, dag: str) -> str:
    run = health.runs.get(dag)
    return f"run:{dag}:{run.run_id}" if run else f"dag:{dag}"


def _counted(name: str, count: int, link: str, limit: Threshold | None = None) -> Figure:
    return Figure(name, number(count), link, limit.colour(count) if limit else "", count)


def _plots(history: Sequence[Sample], now: float) -> list[tuple[str, Markup, Markup, list[str]]]:
    groups = [group.name for group in GROUPS]
    series: list[tuple[str, list[Line]]] = [
        (
            "Records per second, by topic",
            [Line(topic, rates([(one.at, one.topics.get(topic)) for one in history], _GAP)) for topic in _COUNTED],
        ),
        (
            "Lag in seconds, by consumer group",
            [
                Line(name, [(one.at, one.groups[name].lag_seconds if name in one.groups else None) for one in history])
                for name in groups
            ],
        ),
        (
            "Mails per second",
            [Line("lines of the mail log", rates([(one.at, _mail_lines(one)) for one in history], _GAP))],
        ),
        ("Cases that wait", [Line("cases", [(one.at, one.cases.open if one.cases else None) for one in history])]),
    ]
    return [
        (
            title,
            plot(f"{title}: last hour", lines, start=now - HOUR, end=now, ticks=_OF_HOUR),
            plot(f"{title}: last day", lines, start=now - DAY, end=now, ticks=_OF_DAY),
            [line.name for line in lines],
        )
        for title, lines in series
    ]


def _mail_lines(sample: Sample) -> float | None:
    if sample.lake is None:
        return None
    return float(sum(sum(statuses.values()) for statuses in sample.lake.mails.values()))


def _last_rate(points: Sequence[Point]) -> float | None:
    """The growth per second between the last two samples; None if it is unknown."""
    found = rates(points[-2:], _GAP)
    return found[-1][1] if found else None
