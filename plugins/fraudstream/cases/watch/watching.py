"""Checks all cases once: reminds customers, and reports the cases that need a person.

Steps of a check, numbered as in the code:

1. write the due reminders to the mail queue; a reminder has the same Message-ID at each try, and the queue's reader
   drops duplicates,
2. write an event REMINDED for each reminder,
3. write an event ESCALATED for each new cause of each case,
4. send one mail about all cases and causes that were not reported yet,
5. write an event ALERTED for each of them.

If the process is killed between two steps, the next check does the rest. If that happens between 1 and 2, it writes the
reminder again, with the same Message-ID. Between 4 and 5, it sends the mail again: people may be told twice, but are
always told.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from fraudstream.cases.events import ALERTED, ESCALATED, REMINDED, CaseEvent
from fraudstream.cases.watch.rules import Limits, causes, reminder_due
from fraudstream.cases.watch.state import CaseState

BY = "watch_cases"
_AT_ONCE = 500

T = TypeVar("T")


class Reminds(Protocol):
    """Writes reminders to the mail queue; see :class:`fraudstream.mail.reminders.Reminders`."""

    def remind(self, due: Sequence[tuple[CaseState, float, datetime]]) -> list[str]:
        """Returns the mails' Message-IDs once the queue has each. Repeated calls make one mail for a case and share."""


class PublishesEvents(Protocol):
    """Writes events; see :class:`fraudstream.cases.events.CaseEvents`."""

    def publish(self, events: Sequence[CaseEvent]) -> None:
        """Writes events; returns once each of them is durable."""


#: Reports the number of cases by cause, and their ids; returns False if there is no address to report to.
Tells = Callable[[Mapping[str, int], Sequence[str]], bool]


@dataclass(slots=True)
class Watched:
    """The result of a check: ids of reminded cases, escalated cases by cause, number of reported cases."""

    reminded: list[str] = field(default_factory=list)
    escalated: dict[str, list[str]] = field(default_factory=dict)
    told: int = 0


def watch(
    cases: Mapping[str, CaseState],
    limits: Limits,
    now: datetime,
    reminders: Reminds,
    events: PublishesEvents,
    tell: Tells,
) -> Watched:
    """Checks the cases once and does what is due; the module's docstring lists the steps.

    :raises FraudstreamError: a topic can't be written, or the mail can't be sent; the next check does the rest
    """
    done = Watched()
    # 1. and 2. remind
    due = [
        (case, share, limits.until(case))
        for case in cases.values()
        if (share := reminder_due(case, limits, now)) is not None
    ]
    for part in _parts(due):
        sent = zip(part, reminders.remind(part), strict=True)
        events.publish([_event(case, REMINDED, "", share=share, messageId=mail) for (case, share, _), mail in sent])
        done.reminded += [case.id for case, _, _ in part]
    # 3. escalate
    found = [(case, causes(case, limits, now)) for case in cases.values()]
    new = [
        _event(case, ESCALATED, words, cause=cause)
        for case, of_case in found
        for cause, words in of_case.items()
        if cause not in case.escalated
    ]
    for events_of_part in _parts(new):
        events.publish(events_of_part)
    for event in new:
        done.escalated.setdefault(str(event.details["cause"]), []).append(event.id_transaction)
    # 4. report
    untold = [(case, cause) for case, of_case in found for cause in of_case if cause not in case.alerted]
    if untold and tell(Counter(cause for _, cause in untold), [case.id for case, _ in untold]):
        done.told = len(untold)
        # 5. record the report
        for told in _parts(untold):
            events.publish([_event(case, ALERTED, "", cause=cause) for case, cause in told])
    return done


def _parts(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """Splits a sequence into parts that are written at once."""
    return (things[start : start + _AT_ONCE] for start in range(0, len(things), _AT_ONCE))


def _event(case: CaseState, event_type: str, reason: str, **details: object) -> CaseEvent:
    return CaseEvent(case.id, event_type, BY, reason, details=details)
