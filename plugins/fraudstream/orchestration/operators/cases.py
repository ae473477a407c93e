"""Operators for all cases, besides their sensors: reminders, escalations, and the closing of expired cases."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from fraudstream.cases.deadlines import longest_wait
from fraudstream.cases.events import CaseEvents
from fraudstream.cases.expiry import close_expired
from fraudstream.cases.watch.rules import NO_ANSWER, Limits
from fraudstream.cases.watch.state import DISAGREEMENT, NOT_REACHED, read_states
from fraudstream.cases.watch.watching import watch
from fraudstream.mail.reminders import Reminders
from fraudstream.orchestration.alerts import Alert, paragraphs
from fraudstream.orchestration.connections import lake
from fraudstream.settings import get_settings


class CloseExpiredCases(BaseOperator):
    """Ends expired cases with the outcome NO_RESPONSE and returns their ids. See :mod:`fraudstream.cases.expiry`.

    :param look_back_days: number of days, before the longest wait of a case, whose cases are checked
    """

    template_fields = ("look_back_days",)

    def __init__(self, *, look_back_days: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.look_back_days = look_back_days

    def execute(self, context: Context) -> list[str]:
        """Closes the cases and returns their ids.

        :raises FraudstreamError: a topic or the lake can't be used; a retry continues with the remaining cases
        """
        settings = get_settings()
        look_back = timedelta(days=float(self.look_back_days))
        closed = asyncio.run(close_expired(settings, lake(settings), look_back=look_back))
        self.log.info("%d expired cases were closed, for which no sensor waited any more", len(closed))
        return closed


#: A case is still checked for this time after its time limit, because later answers may disagree.
_AFTERWARDS = timedelta(days=1)
_CASES_NAMED = 20
_SAID = {
    NOT_REACHED: "notice not delivered",
    NO_ANSWER: "no answer for most of the time limit",
    DISAGREEMENT: "answers that differ from each other",
}


class WatchCases(BaseOperator):
    """Reminds customers and escalates cases; returns the counts. See :mod:`fraudstream.cases.watch.watching`."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Watches the cases and returns the counts.

        :raises FraudstreamError: a topic can't be used; the next run does the rest
        """
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
            "%d cases checked, %d customers reminded, escalated: %s, operators were mailed about %d",
            len(cases),
            len(done.reminded),
            escalated or "none",
            done.told,
        )
        return {"cases": len(cases), "reminded": len(done.reminded), "escalated": escalated, "told": done.told}


def escalation_text(counts: Mapping[str, int], cases: Sequence[str]) -> str:
    """The text of a mail about escalated cases, as HTML."""
    named = ", ".join(cases[:_CASES_NAMED]) + (", ..." if len(cases) > _CASES_NAMED else "")
    return paragraphs(
        [
            *(f"{count} cases: {_SAID.get(cause, cause)}" for cause, count in sorted(counts.items())),
            f"Cases: {named}",
            "Call the customer, then decide the case with python -m fraudstream.cases decide ID. docs/confirmation.md"
            " explains the causes.",
        ]
    )
