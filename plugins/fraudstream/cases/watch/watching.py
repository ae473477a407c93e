"""Checks all cases once: reminds customers, and reports the cases that need a person.

Numbered as in the code, for each look:

1. hand the reminders that are due to the mail queue; a reminder has the same id at each try, and the queue's reader
   drops what it has seen,
2. write an event REMINDED of each,
3. write an event ESCALATED of each case and cause that is new,
4. send one mail about all open cases that were not reported yet,
5. write an event ALERTED of each.

A process that is killed between two steps leaves the rest to the next look. Between 1 and 2 the reminder is handed over
again with the same id. Between 4 and 5 the mail is sent again: people may be told twice, never not at all.
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
    """Hands reminders to the mail queue; see :class:`fraudstream.mail.reminders.Reminders`."""

    def remind(self, due: Sequence[tuple[CaseState, float, datetime]]) -> list[str]:
        """The mails' Message-IDs once the queue has each; one mail for a case and share, however often called."""


class PublishesEvents(Protocol):
    """See :class:`fraudstream.cases.events.CaseEvents`."""

    def publish(self, events: Sequence[CaseEvent]) -> None:
        """Returns once each event is durable."""


#: Reports the number of cases by cause, and some of their ids; False: there is no address to report to.
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
    """Does what is due.

    :raises FraudstreamError: a topic can't be written, or the mail isn't sent; the next look does the rest
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
    # 4. tell
    untold = [(case, cause) for case, of_case in found for cause in of_case if cause not in case.alerted]
    if untold and tell(Counter(cause for _, cause in untold), [case.id for case, _ in untold]):
        done.told = len(untold)
        # 5. note
        for told in _parts(untold):
            events.publish([_event(case, ALERTED, "", cause=cause) for case, cause in told])
    return done


def _parts(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """Pieces that are written at once."""
    return (things[start : start + _AT_ONCE] for start in range(0, len(things), _AT_ONCE))


def _event(case: CaseState, event_type: str, reason: str, **details: object) -> CaseEvent:
    return CaseEvent(case.id, event_type, BY, reason, details=details)
