"""Limits above which a figure is amber or red: on the page, and in include/alerts, where amber warns and red pages."""

from typing import Literal, NamedTuple

Colour = Literal["", "green", "amber", "red"]


class Threshold(NamedTuple):
    """A figure is amber from `amber` on, and red from `red` on."""

    amber: float
    red: float

    def colour(self, value: float | None) -> Colour:
        """Of a value; none of one that isn't known."""
        if value is None:
            return ""
        return "red" if value >= self.red else "amber" if value >= self.amber else "green"


#: Age of a group's oldest unprocessed record, in seconds.
LAG_SECONDS = Threshold(120, 600)
#: Dead letters of the last hour.
DEAD_LETTERS = Threshold(1, 100)
#: Fraud notices that reached nobody.
UNDELIVERED_NOTICES = Threshold(1, 1)
#: Cases that wait for an answer.
CASES_WAITING = Threshold(1_000, 5_000)
#: Cases whose time is over and that have no outcome.
CASES_OVERDUE = Threshold(1, 100)
#: Since the last audit, in hours; it runs once a day.
AUDIT_HOURS = Threshold(26, 50)
#: Since the last run of compact_lake, in hours.
COMPACTION_HOURS = Threshold(26, 50)
#: Since the last heartbeat of a scheduler or triggerer, in seconds.
HEARTBEAT_SECONDS = Threshold(30, 120)
#: Share of the triggerers' capacity that is in use.
TRIGGERER_LOAD = Threshold(0.7, 0.9)
#: Share of a disk that is in use.
DISK_SHARE = Threshold(0.8, 0.9)
#: Since the last sample, in seconds.
SAMPLE_SECONDS = Threshold(60, 300)
