"""Limits from which a figure is amber or red on the page. In include/alerts, amber warns and red pages."""

from typing import Literal, NamedTuple

Colour = Literal["", "green", "amber", "red"]


class Threshold(NamedTuple):
    """A figure is amber from `amber` on, and red from `red` on."""

    amber: float
    red: float

    def colour(self, value: float | None) -> Colour:
        """The colour of a value; no colour if the value is unknown."""
        if value is None:
            return ""
        return "red" if value >= self.red else "amber" if value >= self.amber else "green"


#: Age of a group's oldest unprocessed record, in seconds.
LAG_SECONDS = Threshold(120, 600)
#: Number of dead letters in the last hour.
DEAD_LETTERS = Threshold(1, 100)
#: Number of fraud notices that weren't delivered.
UNDELIVERED_NOTICES = Threshold(1, 1)
#: Number of cases that wait for an answer.
CASES_WAITING = Threshold(1_000, 5_000)
#: Number of cases without an outcome after their time limit.
CASES_OVERDUE = Threshold(1, 100)
#: Time since the last audit, in hours; it runs once a day.
AUDIT_HOURS = Threshold(26, 50)
#: Time since the last run of compact_lake, in hours.
COMPACTION_HOURS = Threshold(26, 50)
#: Time since the last heartbeat of a scheduler, triggerer or DAG processor, in seconds.
HEARTBEAT_SECONDS = Threshold(30, 120)
#: Share of the triggerers' capacity that is in use.
TRIGGERER_LOAD = Threshold(0.7, 0.9)
#: Share of a disk that is in use.
DISK_SHARE = Threshold(0.8, 0.9)
#: Time since the last sample, in seconds.
SAMPLE_SECONDS = Threshold(60, 300)
