"""What became of cases after their notices, as the topics say: bounces, reminders, escalations, answers, decisions."""

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
    """Records of case_event by type, and the cases that some of them are about."""

    by_type: Counter[str] = field(default_factory=Counter)
    #: Cases whose notice was returned.
    bounced: set[str] = field(default_factory=set)
    #: When each customer was reminded.
    reminded: dict[str, datetime] = field(default_factory=dict)
    escalated: set[str] = field(default_factory=set)
    #: Events ESCALATED by cause.
    causes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Answers:
    """Records of fraud_confirmation by the rule of :mod:`fraudstream.cases.answers.staff`."""

    #: The first answer of each case, of which its sensor is told.
    first: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Staff decisions by case.
    decisions: Counter[str] = field(default_factory=Counter)

    @property
    def counting(self) -> int:
        """How many have an outcome row and a receipt: first answers, and decisions that came after one."""
        return len(self.first) + self.superseding

    @property
    def superseding(self) -> int:
        """Staff decisions that came after another answer."""
        first = [answer["channel"] for answer in self.first.values()].count(STAFF)
        return sum(self.decisions.values()) - first

    def first_of(self, status: str) -> int:
        """How many cases have this first answer."""
        return sum(answer["status"] == status for answer in self.first.values())

    def after(self, reminded: Mapping[str, datetime]) -> int:
        """How many customers answered by a link after they were reminded."""
        return sum(
            answer["channel"] == LINK and case in reminded and answer["answeredAt"] > reminded[case]
            for case, answer in self.first.items()
        )


def events_of(records: Iterable[Mapping[str, Any]]) -> Events:
    """Those of the records, which are in log order for each case."""
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
    """As :func:`events_of`."""
    found = Answers()
    for record in records:
        case = record["idTransaction"]
        found.first.setdefault(case, record)
        if record["channel"] == STAFF:
            found.decisions[case] += 1
    return found
