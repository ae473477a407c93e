"""Prints the report of an audit as a table, and lists the problems as sentences."""

from rich.console import Console
from rich.table import Table

from fraudstream.lake.audit.offsets import Range, in_words
from fraudstream.lake.audit.result import LAKE, AuditLine, AuditReport

_RANGES_SHOWN = 3


def print_report(report: AuditReport, console: Console) -> None:
    """Prints a row for each topic-partition and target, differences in content, checks, cases, then the verdict."""
    table = Table(title="Topics against lake and mail log")
    for heading in ("topic", "partition", "target"):
        table.add_column(heading)
    for heading in ("expected", "found", "behind", "missing", "duplicated", "unexpected", "dead letters", "late"):
        table.add_column(heading, justify="right")
    for line in report.lines:
        table.add_row(
            line.partition.topic,
            str(line.partition.number),
            line.target,
            *map(_number, (line.expected, line.found, line.behind)),
            _problem(line.missing_count, line.missing),
            _problem(line.duplicated_count, line.duplicated),
            _problem(line.unexpected_count, line.unexpected),
            *map(_number, (line.dead_letters, line.late)),
            style=_style(line),
        )
    console.print(table)
    for line in report.lines:
        if line.changed:
            console.print(_changed(line), style="red", markup=False)
    for check in report.checks:
        where = f" ({', '.join(check.where)})" if check.where else ""
        style = "" if check.ok else "red"
        console.print(f"{check.name}: {check.found:,} of at most {check.limit:,}{where}", style=style, markup=False)
    for what, count, named in (
        ("cases without an outcome", report.open_cases, report.open_case_ids),
        (
            "of these overdue: run close_expired_cases",
            report.overdue_cases,
            report.overdue_case_ids,
        ),
        ("answers to unknown cases", report.unknown_cases, report.unknown_case_ids),
    ):
        ids = ", ".join(named) + (", ..." if count > len(named) else "")
        console.print(f"{what}: {_number(count)}" + (f" ({ids})" if ids else ""), markup=False)
    notices = ", ".join(f"{_number(count)} {what}" for what, count in report.undelivered.items() if count)
    console.print(f"fraud notices not delivered: {notices or '0'}", markup=False)
    console.print(f"staff decisions: {_number(report.topics.decisions)}")
    counts = ", ".join(f"{report.total(f'{what}_count')} {what}" for what in ("missing", "duplicated", "unexpected"))
    behind = report.total("behind")
    waiting = f"; {behind} not reached by their readers yet" if behind else ""
    verdict = "[green]ok[/green]" if report.ok else "[red]NOT OK[/red]"
    console.print(f"audit {verdict}: {counts}{waiting}; {report.seconds:.1f} s")


def problems(report: AuditReport) -> list[str]:
    """The problems that make an audit red, with topic, partition and offsets, or with the ids of overdue cases."""
    found = []
    for line in report.lines:
        target = "the lake" if line.target == LAKE else "the mail log"
        for what, count, where in (
            ("missing in", line.missing_count, line.missing),
            ("more than once in", line.duplicated_count, line.duplicated),
            ("unexpected in", line.unexpected_count, line.unexpected),
        ):
            if count:
                found.append(f"{line.partition}: {count:,} records {what} {target} (offsets {in_words(where)})")
        if line.changed:
            found.append(_changed(line))
    found += [
        f"{check.name}: {check.found:,} of at most {check.limit:,}: {', '.join(check.where)}"
        for check in report.checks
        if not check.ok
    ]
    if report.overdue_cases:
        found.append(
            f"overdue cases without an outcome: {report.overdue_cases:,}: {', '.join(report.overdue_case_ids)}"
        )
    return found


def _changed(line: AuditLine) -> str:
    sums = ", ".join(f"{name} {topic:,} became {there:,}" for name, (topic, there) in line.changed.items())
    span = f" (offsets {in_words([line.compared])})" if line.compared else ""
    return f"{line.partition}: contents differ in the {line.target}{span}: {sums}"


def _number(count: int) -> str:
    return f"{count:,}"


def _problem(count: int, found: list[Range]) -> str:
    if not count:
        return "0"
    return f"{count:,} ({in_words(found, _RANGES_SHOWN)})"


def _style(line: AuditLine) -> str | None:
    return None if line.ok else "red"
