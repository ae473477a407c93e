"""The times at which a day's rows arrive and customers answer, and calculations with measured times."""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from local.demo.customers import HABITS

#: The number of transactions in each hour, 0 to 23, of PaySim's first day. It is the sum over the five types in
#: https://github.com/EdgarLopezPhD/PaySim, paramFiles/aggregatedTransactions.csv, steps 1 to 24 (commit 9978bf3).
#: Step 24 is hour 0; steps 4 and 5 are missing.
PAYSIM_HOURS = (
    *(41_774, 33_519, 6_798, 367, 0, 0, 12_349, 83_486, 224_726, 328_398, 216_783, 216_895),
    *(204_817, 222_842, 256_244, 287_447, 253_992, 272_181, 349_600, 323_017, 257_601, 208_027, 166_037, 90_737),
)
HOURS = len(PAYSIM_HOURS)
#: Customers answer after a lognormal delay: its median in hours of the simulated day, and sigma.
_MEDIAN_HOURS, _SIGMA = 6.0, 0.5


def rows_until(rows: int) -> list[int]:
    """The cumulative number of rows at the end of each hour, for a day of `rows` rows."""
    whole = sum(PAYSIM_HOURS)
    return [rows * so_far // whole for so_far in accumulate(PAYSIM_HOURS)]


class Habits:
    """Draws what each customer does with a notice: the demo's habits, with a random delay.

    Customers who need a reminder don't answer on the same day. The same seed gives the same customers.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing secret
        self._customers = 0

    def next(self) -> tuple[str, float] | None:
        """The next customer's first answer and its delay in simulated hours; None if there is no answer on this day."""
        habit = HABITS[self._customers % len(HABITS)]
        self._customers += 1
        hours = self._random.lognormvariate(math.log(_MEDIAN_HOURS), _SIGMA)
        return None if habit.late or not habit.presses else (habit.presses[0], hours)


def ages(commits: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """The age of a table's newest row over time: (time, age) after each commit and right before the next one.

    :param commits: for each snapshot, the time of its commit and the time of its newest row
    """
    turns = [*commits, (end, end)]
    return [
        point for (at, newest), (until, _) in pairwise(turns) for point in ((at, at - newest), (until, until - newest))
    ]


def hour_of(at: float, started: float, seconds: float) -> int:
    """The simulated hour of a time; times after the day count as its last hour."""
    return min(HOURS - 1, max(0, int((at - started) * HOURS / seconds)))


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds by part between two readings, in descending order."""
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    return dict(sorted(spent.items(), key=lambda one: -one[1]))
