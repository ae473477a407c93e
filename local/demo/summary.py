"""The demo's summary: checks that its counts agree, and shows them as a table."""

from typing import Any

from fraudstream.cases.watch.rules import NO_ANSWER
from fraudstream.cases.watch.state import DISAGREEMENT, NOT_REACHED
from rich.table import Table

Summary = dict[str, Any]
CAUSES = (NOT_REACHED, NO_ANSWER, DISAGREEMENT)
STATUSES = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE")


def disagreements(summary: Summary) -> list[str]:
    """Returns a sentence for each pair of counts that should be equal and isn't."""
    dataset, topics, lake = summary["dataset"], summary["topics"], summary["lake"]
    mail, cases, compaction = summary["mail"], summary["cases"], summary["compaction"]
    fraud, non_fraud = topics["fraud_transaction"], topics["non_fraud_transaction"]
    bounces, reminders = summary["bounces"], summary["reminders"]
    escalations, decisions = summary["escalations"], summary["staff_decisions"]
    outcomes = sum(cases[status] for status in STATUSES)
    answers = topics["fraud_confirmation"]
    first_answers = answers - decisions["after_another_answer"]
    mails = fraud + non_fraud + answers + reminders["events"]
    pairs = [
        ("rows of the file", dataset["rows"], "records and rejected rows", fraud + non_fraud + dataset["rejected"]),
        ("frauds of the file", dataset["fraud"], "records of fraud_transaction", fraud),
        ("rejected rows", dataset["rejected"], "dead letters", topics["dead_letter"]),
        ("records of non_fraud_transaction", non_fraud, "rows of transaction/", lake["transaction"]),
        ("records of fraud_transaction", fraud, "pending cases in the lake", lake["fraud_confirmation"]["pending"]),
        ("records of fraud_confirmation", answers, "outcomes in the lake", lake["fraud_confirmation"]["outcome"]),
        ("records of fraud_transaction", fraud, "first answers", first_answers),
        ("records of fraud_transaction", fraud, "opened cases", cases["opened"]),
        ("opened cases", cases["opened"], "resolved sensors", summary["sensors"]["resolved"]),
        ("resolved sensors", summary["sensors"]["resolved"], "outcomes in XComs", outcomes),
        *(
            (f"XComs {status}", cases[status], f"first answers {status}", summary["answers"][status])
            for status in STATUSES
        ),
        ("transactions, answers and reminders", mails, "mails in the inbox", mail["sent"]),
        ("mails in the inbox", mail["sent"], "mails sent by email_confirmation/", lake["email_confirmation"]),
        ("failed mails", mail["failed"], "none", 0),
        ("returned mails", bounces["returned_mails"], "events MAIL_BOUNCED", bounces["events"]),
        ("events MAIL_BOUNCED", bounces["events"], "of them in the lake", bounces["in_the_lake"]),
        ("customers with returned notices", bounces["customers"], "by the audit", bounces["customers_by_the_audit"]),
        ("events REMINDED", reminders["events"], "of them in the lake", reminders["in_the_lake"]),
        ("events REMINDED", reminders["events"], "reminders in the mail log", reminders["in_the_mail_log"]),
        ("events REMINDED", reminders["events"], "reminders in the inbox", reminders["mails"]),
        ("events REMINDED", reminders["events"], "reminders by watch_cases", reminders["by_watch_cases"]),
        ("events ESCALATED", escalations["events"], "escalations by cause", sum(escalations[c] for c in CAUSES)),
        ("events ESCALATED", escalations["events"], "of them in the lake", escalations["in_the_lake"]),
        ("events ESCALATED", escalations["events"], "escalations by watch_cases", escalations["by_watch_cases"]),
        ("staff decisions", decisions["records"], "of them in the lake", decisions["in_the_lake"]),
        ("staff decisions", decisions["records"], "of them of escalated cases", decisions["of_escalated_cases"]),
        ("compacted JSON rows", compaction["json_rows"], "rows more in the tables", compaction["table_rows"]),
        ("missing by the audit", summary["audit"]["missing"], "none", 0),
        ("doubled by the audit", summary["audit"]["duplicated"], "none", 0),
    ]  # fmt: skip
    found = [f"{left:,} {what} but {right:,} {other}" for what, left, other, right in pairs if left != right]
    return found if summary["audit"]["ok"] else [*found, "the audit isn't green"]


def table(summary: Summary) -> Table:
    """A table with a row for each count."""
    out = Table("what", "count", "", title="What happened", title_justify="left", box=None, pad_edge=False)
    out.columns[1].justify = "right"
    for part, values in summary.items():
        name_of_part_shown = False
        for name, value in _flat(values):
            out.add_row("" if name_of_part_shown else part, _shown(part, value), name)
            name_of_part_shown = True
    return out


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        rows += _flat(value, f"{prefix}{name} ") if isinstance(value, dict) else [(prefix + name, value)]
    return rows


def _shown(part: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f} s" if part == "seconds" else f"{value:,}"
