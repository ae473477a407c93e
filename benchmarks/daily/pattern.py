"""When the rows of a day come, when customers answer, and what follows from the times that were measured."""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from local.demo.customers import HABITS

#: Transactions of each hour, 0 to 23, that PaySim's own parameters have for its first day: the counts of the five types
#: in https://github.com/EdgarLopezPhD/PaySim, paramFiles/aggregatedTransactions.csv, steps 1 to 24 (commit 9978bf3).
#: Step 24 is the hour 0; there are no steps 4 and 5.
PAYSIM_HOURS = (
    *(41_774, 33_519, 6_798, 367, 0, 0, 12_349, 83_486, 224_726, 328_398, 216_783, 216_895),
    *(204_817, 222_842, 256_244, 287_447, 253_992, 272_181, 349_600, 323_017, 257_601, 208_027, 166_037, 90_737),
)
HOURS = len(PAYSIM_HOURS)
#: Of the customers' delays, which are lognormal: the median, in hours of the simulated day, and the deviation.
_MEDIAN_HOURS, _SIGMA = 6.0, 0.5


def rows_until(rows: int) -> list[int]:
    """How many of a day's rows have come by the end of each hour."""
    whole = sum(PAYSIM_HOURS)
    return [rows * so_far // whole for so_far in accumulate(PAYSIM_HOURS)]


class Habits:
    """What customers do with the notices that they get: those of the demo, and how long they take.

    Who answers after a reminder only doesn't answer on the same day. The same seed gives the same customers.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing secret
        self._customers = 0

    def next(self) -> tuple[str, float] | None:
        """The next customer's first answer, and after how many hours; None: there is none on this day."""
        habit = HABITS[self._customers % len(HABITS)]
        self._customers += 1
        hours = self._random.lognormvariate(math.log(_MEDIAN_HOURS), _SIGMA)
        return None if habit.late or not habit.presses else (habit.presses[0], hours)


def ages(commits: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """How old the newest row of a table is, over time: (time, age) where it is least and where it is greatest.

    :param commits: when a snapshot became the table's, and the time of the newest row in it
    """
    turns = [*commits, (end, end)]
    return [
        point for (at, newest), (until, _) in pairwise(turns) for point in ((at, at - newest), (until, until - newest))
    ]


def hour_of(at: float, started: float, seconds: float) -> int:
    """The simulated hour of a time; what comes after the day belongs to its last hour."""
    return min(HOURS - 1, max(0, int((at - started) * HOURS / seconds)))


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds of CPU by part between two readings, the largest first."""
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    return dict(sorted(spent.items(), key=lambda one: -one[1]))
