"""The schedule of the consumer DAGs."""

from datetime import timedelta

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.simple import ContinuousTimetable

#: Minimum time between the starts of two runs. Without it, a run whose tasks all fail at once would be followed by
#: another within a second, again and again.
_APART = timedelta(minutes=1)


class Continuous(ContinuousTimetable):
    """Airflow's ``@continuous``, with at least a minute between the starts of two runs."""

    description = "A run follows when one ends, a minute after that one's start at the earliest."

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run. A run's data interval ends when the run starts, and the next interval begins there."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info is None or last_automated_data_interval is None:
            return info
        earliest = last_automated_data_interval.end + _APART
        return info if info.run_after >= earliest else DagRunInfo.interval(last_automated_data_interval.end, earliest)
