"""How a consumer group handles the invalid records of its topic.

All groups of a topic skip the same records: those that are dead letters. Only one of the groups sends dead letters.
The validity of a record depends on its bytes and its timestamp, which are the same for all groups, and on the schema
registry's answer for its schema id, which may change between the requests of two groups. The group that sends dead
letters repeats a request after a second, so that its answer is seldom the older one. Numbered as in the code:

1. a record that is a dead letter stays one, even if the registry has its schema now,
2. too large a share of invalid records stops the group, because then a wrong setting is the likelier cause,
3. the group that sends dead letters sends those that don't exist yet, each once,
4. another group skips a record of an unknown schema only once its dead letter exists.
"""

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

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

#: The share is that among the last _WINDOW_RECORDS records. Fewer than _FEW invalid records never stop a group.
_WINDOW_RECORDS = 10_000
_FEW = 100
#: Maximum age in seconds of the known dead letters, for records that are all valid.
_LATELY_SECONDS = 1.0


#: Timestamps of the records that are dead letters, by offset. None: a letter of an older version has no timestamp.
Places = Mapping[int, Collection[int | None]]


def add_places(places: defaultdict[Partition, dict[int, set[int | None]]], letters: Iterable[DeadLetter]) -> None:
    """Adds the records of letters. A record that was produced again stays a dead letter: its marker adds nothing."""
    for letter in letters:
        if letter.redriven_at is None:
            places[letter.partition].setdefault(letter.offset, set()).add(letter.timestamp)


def is_dead(places: Places, offset: int, timestamp: int) -> bool:
    """Whether the record is a dead letter. After a topic is recreated, other records have the same offsets."""
    return not {None, timestamp}.isdisjoint(places.get(offset, ()))


def dead_indices(places: Places, offsets: np.ndarray, timestamp: Callable[[int], int]) -> list[int]:
    """The indices of the records of a partition that are dead letters.

    :param offsets: of the records
    :param timestamp: returns that of the record with an index; called only for the offsets of dead letters
    """
    found = np.flatnonzero(np.isin(offsets, np.fromiter(places, np.int64, len(places))))
    return [i for i in found.tolist() if is_dead(places, int(offsets[i]), timestamp(i))]


class KnownDeadLetters:
    """Offsets and timestamps of a topic's records that are dead letters. Connects at the first request."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._reader: TopicReader | None = None
        self._places: defaultdict[Partition, dict[int, set[int | None]]] = defaultdict(dict)
        self._read_at = -_LATELY_SECONDS

    def lately(self, partition: Partition) -> Places:
        """As :meth:`of`, but up to a second old, and without a request if the topic has no dead-letter topic."""
        late = time.monotonic() - self._read_at >= _LATELY_SECONDS
        return self.of(partition) if late and self._topic in DEAD_LETTER_ROLES else self._places[partition]

    def of(self, partition: Partition) -> Places:
        """The records of a partition that are dead letters now.

        :raises KafkaError: the brokers don't answer or refuse; a later call misses no letter
        """
        began = time.monotonic()
        try:
            if self._reader is None:
                self._reader = TopicReader(self._settings, dead_letter_topic(self._topic))
            add_places(self._places, letters_of(self._reader.read()))
        except Exception:
            # The client may be past letters that the reader didn't return: the next call reads from the beginning.
            self.close()
            raise
        self._read_at = began
        return self._places[partition]

    def close(self) -> None:
        """Closes the connections to the brokers."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class InvalidRecords:
    """Sends a group's invalid records to the dead letters, or skips them.

    :param dead_letters: None if another group of the topic sends them
    :param max_share: share of invalid records among the last 10,000 above which the group stops, if they are at least
        100
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
        """Returns the indices in `records` of those that are dead letters, or become dead letters by this call.

        None means that another group has yet to send one of them.

        :param foreign: indices of records with another schema than the topic's own, which may have been unknown before
        :raises TooManyDeadLetters: the share of invalid records is too large; none of these was sent
        :raises KafkaError: the brokers didn't confirm a letter
        """
        # 1. dead letters stay dead letters
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
        """Closes the connections to the brokers."""
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
            f"These are no dead letters yet. Is a setting wrong, such as FRAUDSTREAM_SCHEMA_REGISTRY_URL? If so "
            f"many records really are invalid, run again with a higher share"
        )


def _dead(records: Records, known: Places) -> set[int]:
    """Indices in `records` of those that are dead letters."""
    return set(dead_indices(known, records.offsets, lambda i: int(records.timestamps[i])))
