"""Takes samples: the figures of all parts at one moment. A part that doesn't answer is a problem in the sample."""

import logging
import time
from collections.abc import Callable

from fraudstream.errors import FraudstreamError
from fraudstream.kafka.topic.definitions import TOPICS
from fraudstream.lake.table.lake import Lake
from fraudstream.pipeline.sampling.followed import FOLLOWED, Followed
from fraudstream.pipeline.sampling.group_lag import GroupLag
from fraudstream.pipeline.sampling.groups import GROUPS
from fraudstream.pipeline.sampling.lake_figures import LakeReader
from fraudstream.pipeline.sampling.sample import Sample
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: Maximum time in seconds that one sample spends on counting records. The next samples count the rest.
_COUNT_SECONDS = 5.0


class Sampler:
    """Takes samples. It keeps its connections and counts between them. To be used from one thread.

    :param lake: opens the lake; called again after a failure
    """

    def __init__(self, settings: Settings, lake: Callable[[], Lake]) -> None:
        self._settings = settings
        self._open_lake = lake
        self._lake: LakeReader | None = None
        self._lag = GroupLag(settings)
        self._followed: Followed | None = None

    def close(self) -> None:
        """Closes the connections to the brokers."""
        self._lag.close()
        if self._followed is not None:
            self._followed.close()

    def sample(self) -> Sample:
        """Takes a sample."""
        sample = Sample(time.time())
        for part in (self._of_kafka, self._of_lake):
            try:
                part(sample)
            except FraudstreamError as error:
                log.warning("a sample of the pipeline lacks a part: %s", error)
                sample.problems.append(str(error))
        return sample

    def _of_kafka(self, sample: Sample) -> None:
        bounds = self._lag.bounds(topic.name for topic in TOPICS)
        for partition, (_, end) in sorted(bounds.items()):
            sample.topics[partition.topic] = sample.topics.get(partition.topic, 0) + end
        sample.groups = self._lag.lags(GROUPS, bounds, sample.problems)
        if self._followed is None:
            self._followed = Followed(self._settings)
        ends = {partition: end for partition, (_, end) in bounds.items() if partition.topic in FOLLOWED}
        try:
            complete = self._followed.read(ends, _COUNT_SECONDS)
        except FraudstreamError:
            self._followed.close()  # read records may be uncounted: the next sample reads from the start
            self._followed = None
            raise
        if not complete:
            sample.problems.append("cases and dead letters are still being counted")
            return
        counted = self._followed.counted
        sample.cases = counted.case_figures(sample.at, self._settings.confirmation_time_limit_seconds)
        sample.dead_letters = counted.dead_letters()
        sample.produced = counted.produced()

    def _of_lake(self, sample: Sample) -> None:
        if self._lake is None:
            self._lake = LakeReader(self._open_lake())
        sample.lake = self._lake.figures()
