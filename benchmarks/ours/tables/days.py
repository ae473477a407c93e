"""Times the query and the compaction of one day on a growing lake. Arguments: the numbers of days to measure at."""

import statistics
import sys
from datetime import timedelta

from benchmarks.harness.lake_day import DAY
from benchmarks.harness.outcome import timed
from benchmarks.ours.tables.day_of_many import ROWS, add_day, empty_lake, seconds

_TIMES = 5


def main(sizes: list[int]) -> None:
    """Builds one lake day by day, and measures whenever its number of days is one of `sizes`."""
    lake = empty_lake("older")
    points, compactions = [], []
    with timed() as work:
        for number in range(max(sizes)):
            day = DAY - timedelta(days=max(sizes) - 1 - number)
            compactions.append(add_day(lake, number, day))
            if number + 1 in sizes:
                points.append(
                    {
                        "days": number + 1,
                        "query_seconds": statistics.median(seconds(lake, day) for _ in range(_TIMES)),
                        "compaction_seconds": statistics.median(compactions[-_TIMES:]),
                    }
                )
        work.items = ROWS * max(sizes)
        work.also["points"] = points


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
