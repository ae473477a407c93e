"""Operators that look at cases from outside of their sensors: reminders, escalations, cases that nothing waits for."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from fraudstream.cases.deadlines import longest_wait
from fraudstream.cases.events import CaseEvents
from fraudstream.cases.expiry import close_expired
from fraudstream.cases.watch.rules import DISAGREEMENT, NO_ANSWER, Limits
from fraudstream.cases.watch.state import NOT_REACHED, read_states
from fraudstream.cases.watch.watching import watch
from fraudstream.mail.reminders import Reminders
from fraudstream.orchestration.alerts import Alert, paragraphs
from fraudstream.orchestration.connections import lake
from fraudstream.settings import get_settings


class CloseExpiredCases(BaseOperator):
    """Gives cases whose time is up their outcome, NO_RESPONSE; returns their ids. See :mod:`fraudstream.cases.expiry`.

    :param look_back_days: how far before the longest wait of a case its record may lie
    """

    template_fields = ("look_back_days",)

    def __init__(self, *, look_back_days: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.look_back_days = look_back_days

    def execute(self, context: Context) -> list[str]:
        """:raises FraudstreamError: a topic or the lake can't be used; a retry continues with what is left"""
        settings = get_settings()
        look_back = timedelta(days=float(self.look_back_days))
        closed = asyncio.run(close_expired(settings, lake(settings), look_back=look_back))
        self.log.info("%d cases were closed that nothing waited for any more", len(closed))
        return closed


#: How long after its time is up a case is looked at: answers may still disagree with each other.
_AFTERWARDS = timedelta(days=1)
_CASES_NAMED = 20
_SAID = {
    NOT_REACHED: "notice not delivered",
    NO_ANSWER: "no answer for most of the time limit",
    DISAGREEMENT: "answers that differ from each other",
}


class WatchCases(BaseOperator):
    """Reminds customers and escalates cases; returns what it did. See :mod:`fraudstream.cases.watch.watching`."""

    def execute(self, context: Context) -> dict[str, Any]:
        """:raises FraudstreamError: a topic can't be used; the next run does what is left"""
        settings = get_settings()
        now = datetime.now(UTC)
        limit = settings.confirmation_time_limit
        limits = Limits(limit, settings.confirmation_reminders, settings.confirmation_escalation)

        def tell(counts: Mapping[str, int], cases: Sequence[str]) -> bool:
            if not settings.alert_address:
                self.log.warning("FRAUDSTREAM_ALERT_ADDRESS is empty, so nobody is mailed about escalated cases")
                return False
            text = escalation_text(counts, cases)
            Alert(subject=f"{len(set(cases))} fraud cases need a person", text=text)(dict(context))
            return True

        cases = read_states(settings, now - longest_wait(limit) - _AFTERWARDS)
        done = watch(cases, limits, now, Reminders(settings), CaseEvents(settings), tell)
        escalated = {cause: len(ids) for cause, ids in done.escalated.items()}
        self.log.info(
            "%d cases looked at, %d customers reminded, escalated: %s, people were told of %d",
            len(cases),
            len(done.reminded),
            escalated or "none",
            done.told,
        )
        return {"cases": len(cases), "reminded": len(done.reminded), "escalated": escalated, "told": done.told}


def escalation_text(counts: Mapping[str, int], cases: Sequence[str]) -> str:
    """What a mail about escalated cases says, as HTML."""
    named = ", ".join(cases[:_CASES_NAMED]) + (", ..." if len(cases) > _CASES_NAMED else "")
    return paragraphs(
        [
            *(f"{count} cases: {_SAID.get(cause, cause)}" for cause, count in sorted(counts.items())),
            f"Cases: {named}",
            "Call the customer, then decide the case with python -m fraudstream.cases decide ID. docs/confirmation.md"
            " explains the causes.",
        ]
    )
