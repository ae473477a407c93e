"""Statistics of outcomes and answer times by day, for the fraud team."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from rich.table import Table

from fraudstream.lake.audit.topics import FirstAnswer

REPORTED_FRAUD, REPORTED_NOT_FRAUD, NO_RESPONSE = "REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE"
#: Number of days in a report, which has the latest ones.
DAYS = 7


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """Outcomes of one UTC day, or of all days if `day` is None. Times are seconds from a case's record to its answer.

    Times and share are None if no customer answered.
    """

    day: date | None
    reported_fraud: int
    reported_not_fraud: int
    no_response: int
    median_seconds: float | None
    p90_seconds: float | None

    @property
    def answered(self) -> int:
        """Cases that a customer answered."""
        return self.reported_fraud + self.reported_not_fraud

    @property
    def false_positive_share(self) -> float | None:
        """Of the cases that customers answered, the share that was no fraud."""
        return self.reported_not_fraud / self.answered if self.answered else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as JSON values."""
        return {
            "day": self.day.isoformat() if self.day else None,
            "answered": self.answered,
            REPORTED_FRAUD: self.reported_fraud,
            REPORTED_NOT_FRAUD: self.reported_not_fraud,
            NO_RESPONSE: self.no_response,
            "median_seconds": self.median_seconds,
            "p90_seconds": self.p90_seconds,
            "false_positive_share": self.false_positive_share,
        }


def answer_figures(cases: Mapping[str, int], answers: Mapping[str, FirstAnswer]) -> list[AnswerFigures]:
    """Returns the figures of each of the last :data:`DAYS` days with outcomes, oldest first, then those of all days.

    :param cases: the time of each case's record (ms since 1970), by the case's id
    :param answers: by the case's id; answers to cases that `cases` doesn't have are left out
    """
    of_day: dict[date, list[tuple[FirstAnswer, float]]] = defaultdict(list)
    for case, answer in answers.items():
        if case in cases:
            day = datetime.fromtimestamp(answer.answered_at / 1000, UTC).date()
            of_day[day].append((answer, (answer.answered_at - cases[case]) / 1000))
    days = [_figures(day, of_day[day]) for day in sorted(of_day)[-DAYS:]]
    return [*days, _figures(None, (outcome for outcomes in of_day.values() for outcome in outcomes))]


def _figures(day: date | None, outcomes: Iterable[tuple[FirstAnswer, float]]) -> AnswerFigures:
    counts: dict[str, int] = defaultdict(int)
    seconds = []
    for answer, waited in outcomes:
        counts[answer.status] += 1
        if answer.status != NO_RESPONSE:
            seconds.append(waited)
    # The clocks of brokers and site may differ a little: a negative time is reported as 0.
    median, p90 = np.maximum(np.percentile(seconds, [50, 90]), 0).round(1).tolist() if seconds else (None, None)
    return AnswerFigures(day, counts[REPORTED_FRAUD], counts[REPORTED_NOT_FRAUD], counts[NO_RESPONSE], median, p90)


def as_table(days: list[AnswerFigures]) -> Table:
    """The figures as a table for people."""
    table = Table("day (UTC)", title="What customers answered")
    for heading in ("answered", "fraud", "not fraud", "no response", "median time", "p90 time", "false positives"):
        table.add_column(heading, justify="right")
    for figures in days:
        counts = (figures.answered, figures.reported_fraud, figures.reported_not_fraud, figures.no_response)
        share = figures.false_positive_share
        table.add_row(
            figures.day.isoformat() if figures.day else "all days",
            *(f"{count:,}" for count in counts),
            _time(figures.median_seconds),
            _time(figures.p90_seconds),
            "-" if share is None else f"{share:.1%}",
        )
    return table


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
