"""What a consumer group does about the invalid records of its topic.

Every group of a topic passes over the same records: those that are dead letters. Only one of them sends the letters.
Whether a record is valid depends on its bytes and its timestamp, on which all groups agree, and on what the schema
registry says of its schema id, which may change between two groups' questions. So, numbered as in the code:

1. a record that is a dead letter already stays one, though the registry gives its schema by now,
2. a share of invalid records that is too large stops the group: more likely a setting is wrong than all the records,
3. the group that sends the letters sends those that aren't there yet, each once,
4. another group passes over a record of an unknown schema only once its letter is there.
"""

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fraudstream.errors import TooManyDeadLetters
from fraudstream.kafka.avro.codec import InvalidRecord
from fraudstream.kafka.consume.message_consumer import Records
from fraudstream.kafka.dead_letters.letters import DeadLetter, letters_of
from fraudstream.kafka.dead_letters.producer import DeadLetters
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.definitions import DEAD_LETTER_ROLES, dead_letter_topic
from fraudstream.kafka.topic.topic_reader import TopicReader
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: The share is that of the last so many records; fewer invalid ones than that say nothing of a setting.
_WINDOW_RECORDS = 10_000
_FEW = 100
#: How old what is known of the dead letters may be for records that all are valid.
_LATELY_SECONDS = 1.0


#: By offset the times of the records that are dead letters; None: a letter of an older version doesn't say it.
Places = Mapping[int, Collection[int | None]]


def is_dead(places: Places, offset: int, timestamp: int) -> bool:
    """Whether a letter is of this very record: a topic that was recreated has other records at the same offsets."""
    return not {None, timestamp}.isdisjoint(places.get(offset, ()))


class KnownDeadLetters:
    """The places of a topic's dead letters. Connects when first asked."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._reader: TopicReader | None = None
        self._places: dict[Partition, dict[int, set[int | None]]] = defaultdict(dict)
        self._read_at = -_LATELY_SECONDS

    def lately(self, partition: Partition) -> Places:
        """As :meth:`of`, about a second late. Of a topic that the pipeline sends no dead letters of there are none."""
        late = time.monotonic() - self._read_at >= _LATELY_SECONDS
        return self.of(partition) if late and self._topic in DEAD_LETTER_ROLES else self._places[partition]

    def of(self, partition: Partition) -> Places:
        """The records of a partition that are dead letters by now."""
        self._read_at = time.monotonic()
        if self._reader is None:
            self._reader = TopicReader(self._settings, dead_letter_topic(self._topic))
        for letter in letters_of(self._reader.read()):
            if letter.redriven_at is None:
                self._places[letter.partition].setdefault(letter.offset, set()).add(letter.timestamp)
        return self._places[partition]

    def close(self) -> None:
        """Leaves the brokers."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class InvalidRecords:
    """Sends a group's invalid records to the dead letters, or passes over them.

    :param dead_letters: None where another group of the topic sends them
    :param max_share: of invalid records among the last 10,000; more of them, and at least 100, stop the group
    """

    def __init__(
        self,
        topic: str,
        group: str,
        *,
        dead_letters: DeadLetters | None,
        known: KnownDeadLetters,
        max_share: float,
    ) -> None:
        self._topic = topic
        self._group = group
        self._dead_letters = dead_letters
        self._known = known
        self._max_share = max_share
        self._window: deque[tuple[int, int]] = deque()
        self._waiting: set[Partition] = set()

    def settle(
        self, partition: Partition, records: Records, invalid: Sequence[InvalidRecord], foreign: Sequence[int]
    ) -> set[int] | None:
        """The places in `records` of those that are, or now become, dead letters; None: that isn't known yet.

        :param foreign: places of records with another schema than the topic's own, which was unknown perhaps
        :raises TooManyDeadLetters: the share of them is too large; none of these was sent
        :raises KafkaError: the brokers don't have a letter
        """
        # 1. what is a dead letter stays one
        doubtful = invalid or foreign or partition in self._waiting
        known = self._known.of(partition) if doubtful else self._known.lately(partition)
        self._waiting.discard(partition)
        dead = _dead(records, known) if known else set()
        if not invalid:
            self._count(len(records), 0)
            return dead
        offsets = records.offsets.tolist()
        # 2. too many
        new = [record for record in invalid if record.index not in dead]
        self._check_share(partition, records, new)
        if self._dead_letters is not None:
            # 3. send
            for record in new:
                self._dead_letters.put(self._letter(partition, records, record))
            self._dead_letters.flush()
        elif any(record.unknown_schema for record in new):
            # 4. wait
            self._waiting.add(partition)
            return None
        else:
            for record in invalid:
                place = f"{partition} offset {offsets[record.index]}"
                log.warning("%s is passed over by group %s: %s", place, self._group, record.reason)
        self._count(len(records), len(new))
        return dead | {record.index for record in invalid}

    def close(self) -> None:
        """Leaves the brokers."""
        self._known.close()

    def _letter(self, partition: Partition, records: Records, record: InvalidRecord) -> DeadLetter:
        key, headers = records.key_and_headers(record.index)
        return DeadLetter(
            partition,
            int(records.offsets[record.index]),
            int(records.timestamps[record.index]),
            key,
            records.values[record.index].as_py(),
            headers,
            record.reason,
        )

    def _count(self, records: int, invalid: int) -> None:
        self._window.append((records, invalid))
        while len(self._window) > 1 and sum(size for size, _ in self._window) - self._window[0][0] >= _WINDOW_RECORDS:
            self._window.popleft()

    def _check_share(self, partition: Partition, records: Records, invalid: Sequence[InvalidRecord]) -> None:
        number = len(invalid) + sum(bad for _, bad in self._window)
        of = len(records) + sum(size for size, _ in self._window)
        if number < _FEW or number <= self._max_share * of:
            return
        reasons = Counter(record.reason.partition(":")[0] for record in invalid).most_common(3)
        raise TooManyDeadLetters(
            f"{number:,} of the last {of:,} records of {self._topic} that group {self._group} read are invalid, more "
            f"than the share of {self._max_share} that FRAUDSTREAM_KAFKA_MAX_DEAD_LETTER_SHARE allows. The last ones "
            f"are at {partition} from offset {int(records.offsets[invalid[0].index])} on: "
            f"{', '.join(f'{count:,} {reason}' for reason, count in reasons)}; the first says: {invalid[0].reason}. "
            f"These are no dead letters yet. Is a setting wrong, such as FRAUDSTREAM_SCHEMA_REGISTRY_URL? If the "
            f"records are as bad as that, run again with a higher share"
        )


def _dead(records: Records, known: Places) -> set[int]:
    """Places in `records` of those that are dead letters."""
    found = np.flatnonzero(np.isin(records.offsets, np.fromiter(known, np.int64, len(known))))
    return {i for i in found.tolist() if is_dead(known, int(records.offsets[i]), int(records.timestamps[i]))}
