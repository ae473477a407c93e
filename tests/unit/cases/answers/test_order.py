"""Which answers count if a broker's clock was set back: sinks, views, the audit and the samples have the same rule."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.order import Place, in_log_order
from fraudstream.cases.answers.staff import LINK, STAFF, Channel, counting, staff_decisions
from fraudstream.cases.views.first_value_store import FirstValues, Read
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Batch, Partition
from fraudstream.lake.audit.topics import Answers, TopicsContent
from fraudstream.pipeline.sampling.followed import Counted
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch

CASE = "tx-0"
#: An answer of the case: its place, and its channel.
Record = tuple[Place, Channel]
PLACES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 2), st.integers(0, 50)), unique_by=lambda place: place[1:]
)


class Message:
    """A record, with the fields that the readers need."""

    def __init__(self, place: Place) -> None:
        self._time, self._number, self._offset = place

    def topic(self) -> str:
        return FRAUD_CONFIRMATION

    def partition(self) -> int:
        return self._number

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._time


class Passed:
    """A sink that records the offsets that it gets."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return None

    def write(self, batch: Batch) -> None:
        self.offsets += batch.offsets.tolist()


class Elsewhere:
    """The view of all partitions."""

    def __init__(self) -> None:
        self.view = FirstValues[Place]()

    def catch_up(self) -> None:
        """Does nothing: everything is read."""

    def first_place(self, case: str) -> Place | None:
        return self.view.get(case)

    def close(self) -> None:
        """Does nothing."""


def answered_at(place: Place) -> int:
    """A time that is unique to this answer."""
    return MIDNIGHT_MS + 100 * place[1] + place[2]


def rows_of(records: Sequence[Record]) -> pa.RecordBatch:
    rows = [
        answer(0, "REPORTED_FRAUD", channel=channel) | {"answeredAt": answered_at(place)} for place, channel in records
    ]
    return batch(range(len(rows)), rows=rows).rows


def passed_by_consumers(records: Sequence[Record], elsewhere: Elsewhere) -> list[Place]:
    """The answers that the sinks of all partitions pass on."""
    found = []
    for number in {place[1] for place, _ in records}:
        mine = [(place, channel) for place, channel in records if place[1] == number]
        partition, places = Partition(FRAUD_CONFIRMATION, number), [place for place, _ in mine]
        inner = Passed()
        sink = FirstAnswers(inner, elsewhere=elsewhere, also=staff_decisions)  # type: ignore[arg-type]
        sink.assigned(partition, None)
        times, offsets = (np.array([place[part] for place in places], np.int64) for part in (0, 2))
        sink.write(Batch(partition, offsets, times, rows_of(mine), int(offsets[-1]) + 1))
        found += [place for place in places if place[2] in inner.offsets]
    return found


def check(records: Sequence[Record]) -> None:
    """Checks that all readers consider the same answers to count, when they get the records in this order."""
    ordered = in_log_order(records, lambda record: record[0])
    first, decisions = ordered[0][0], {place for place, channel in ordered if channel == STAFF}
    outcome = ordered[counting(channel for _, channel in ordered) or 0][0]

    places, outcomes, content, counted = Elsewhere(), FirstValues[Place](), TopicsContent(), Counted()
    audited = Answers(content)
    for record in records:
        place, channel = record
        time, *where = place
        places.view.advance([Read(CASE, time, place, *where)], {})
        outcomes.advance([Read(CASE, time, place, *where, supersedes=channel == STAFF)], {})
        messages = [Message(place)]
        partition = Partition(FRAUD_CONFIRMATION, place[1])
        audited.add(partition, DecodedMessages(rows_of([record]), messages, []))  # type: ignore[arg-type]
        taken = {"idTransaction": CASE, "status": str(place), "channel": channel}
        counted.take_record(messages[0], taken)  # type: ignore[arg-type]

    assert places.first_place(CASE) == first
    assert outcomes.get(CASE) == outcome
    assert set(passed_by_consumers(records, places)) == {first} | decisions
    late = {(partition.number, offset) for partition, offsets in audited.late.items() for offset in offsets}
    assert late == {place[1:] for place, _ in records} - {first[1:]} - {place[1:] for place in decisions}
    assert content.answers[CASE].answered_at == answered_at(first)
    assert counted.answers[CASE].status == str(outcome)


@pytest.mark.parametrize(
    ("places", "first"),
    [
        ([(100, 0, 10), (40, 0, 12)], (100, 0, 10)),
        ([(100, 0, 10), (40, 0, 12), (101, 1, 3)], (100, 0, 10)),
        ([(100, 0, 10), (40, 0, 12), (99, 1, 3), (98, 1, 4)], (99, 1, 3)),
        ([(100, 0, 10), (99, 1, 3), (40, 0, 12)], (99, 1, 3)),
        ([(100, 0, 10), (100, 1, 3)], (100, 0, 10)),
    ],
)
def test_the_first_answer_of_a_case_is_the_earliest_of_those_that_are_the_first_of_their_partitions(
    places: list[Place], first: Place
) -> None:
    records: list[Record] = [(place, LINK) for place in places]
    assert in_log_order(records, lambda record: record[0])[0][0] == first
    check(records)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 2), st.sampled_from([LINK, STAFF])),
        min_size=1,
        max_size=7,
    )
)
def test_all_readers_hold_the_same_answers_to_count_whatever_the_clocks_and_the_order_of_reading(
    read: list[tuple[int, int, Channel]],
) -> None:
    offsets: Counter[int] = Counter()
    records: list[Record] = []
    for time, number, channel in read:
        records.append(((time, number, offsets[number]), channel))
        offsets[number] += 1
    check(records)


@given(PLACES)
def test_the_log_has_each_partition_in_its_order_and_partitions_by_time(places: list[Place]) -> None:
    found = in_log_order(places, lambda place: place)
    assert sorted(found) == sorted(places)
    for number in range(3):
        mine = [place for place in found if place[1] == number]
        assert mine == sorted(mine, key=lambda place: place[2])
    steady = [(offset, number, offset) for _, number, offset in places]
    assert in_log_order(steady, lambda place: place) == sorted(steady)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.sampled_from("ab"))))
def test_a_record_of_another_case_says_nothing_about_a_cases_own_order(read: list[tuple[int, int, str]]) -> None:
    records = [((time, number, offset), case) for offset, (time, number, case) in enumerate(read)]
    found = in_log_order(records, lambda record: record[0], lambda record: record[1])
    for case in "ab":
        mine = [record for record in records if record[1] == case]
        assert [record for record in found if record[1] == case] == in_log_order(mine, lambda record: record[0])
