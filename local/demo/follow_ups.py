"""Counts what followed the fraud notices, from the topics: bounces, reminders, escalations, answers and decisions."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fraudstream.cases.answers.staff import LINK, STAFF
from fraudstream.cases.events import ESCALATED, MAIL_BOUNCED, REMINDED


@dataclass(slots=True)
class Events:
    """The number of records of case_event by type, and the cases that were returned, reminded or escalated."""

    by_type: Counter[str] = field(default_factory=Counter)
    #: Cases whose notice was returned.
    bounced: set[str] = field(default_factory=set)
    #: The time of each case's last reminder.
    reminded: dict[str, datetime] = field(default_factory=dict)
    escalated: set[str] = field(default_factory=set)
    #: Events ESCALATED by cause.
    causes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Answers:
    """The records of fraud_confirmation, evaluated by the rule of :mod:`fraudstream.cases.answers.staff`."""

    #: The first answer of each case, which its sensor receives.
    first: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: The number of staff decisions by case.
    decisions: Counter[str] = field(default_factory=Counter)

    @property
    def counting(self) -> int:
        """The number of answers that get an outcome row and a receipt: first answers, and later staff decisions."""
        return len(self.first) + self.superseding

    @property
    def superseding(self) -> int:
        """The number of staff decisions that came after another answer."""
        first = [answer["channel"] for answer in self.first.values()].count(STAFF)
        return sum(self.decisions.values()) - first

    def first_of(self, status: str) -> int:
        """The number of cases whose first answer has this status."""
        return sum(answer["status"] == status for answer in self.first.values())

    def after(self, reminded: Mapping[str, datetime]) -> int:
        """The number of customers who answered by a link after their reminder; `reminded`: its time by case."""
        return sum(
            answer["channel"] == LINK and case in reminded and answer["answeredAt"] > reminded[case]
            for case, answer in self.first.items()
        )


def events_of(records: Iterable[Mapping[str, Any]]) -> Events:
    """Evaluates records of case_event, which are in log order for each case."""
    found = Events()
    for record in records:
        case, kind = record["idTransaction"], record["eventType"]
        found.by_type[kind] += 1
        if kind == MAIL_BOUNCED and json.loads(record["details"])["kind"] == "fraud_notice":
            found.bounced.add(case)
        elif kind == REMINDED:
            found.reminded[case] = record["at"]
        elif kind == ESCALATED:
            found.escalated.add(case)
            found.causes[json.loads(record["details"])["cause"]] += 1
    return found


def answers_of(records: Iterable[Mapping[str, Any]]) -> Answers:
    """Evaluates records of fraud_confirmation, which are in log order for each case."""
    found = Answers()
    for record in records:
        case = record["idTransaction"]
        found.first.setdefault(case, record)
        if record["channel"] == STAFF:
            found.decisions[case] += 1
    return found
