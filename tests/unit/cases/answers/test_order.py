"""Which answer is the first, where a broker's clock was set back: one rule for the sink, the views and the audit."""

from itertools import pairwise

import numpy as np
import pytest
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.order import Place, in_log_order, is_before
from fraudstream.cases.views.first_value_store import FirstValues, Read
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Batch, Partition
from fraudstream.lake.audit.topics import Answers, TopicsContent
from fraudstream.pipeline.sampling.followed import Counted
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lake.rows import answer, batch

CASE = "tx-0"
PLACES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 2), st.integers(0, 50)), unique_by=lambda place: place[1:]
)


class Message:
    """A record, as far as these look at one."""

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
    """A sink that keeps the offsets that it got."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return None

    def write(self, batch: Batch) -> None:
        self.offsets += batch.offsets.tolist()


class Elsewhere:
    """What the view of all partitions says."""

    def __init__(self, places: list[Place]) -> None:
        self._view = FirstValues[Place]()
        self._view.advance([Read(CASE, place[0], place, *place[1:]) for place in places], {})

    def catch_up(self) -> None:
        """All is there."""

    def first_place(self, case: str) -> Place | None:
        return self._view.get(case)

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("places", "first"),
    [
        ([(100, 0, 10), (40, 0, 12)], (100, 0, 10)),
        ([(100, 0, 10), (40, 0, 12), (101, 1, 3)], (100, 0, 10)),
        ([(100, 0, 10), (40, 0, 12), (99, 1, 3), (98, 1, 4)], (99, 1, 3)),
        ([(100, 0, 10), (100, 1, 3)], (100, 0, 10)),
    ],
)
def test_one_answer_of_a_case_counts_and_for_all_the_same_one(places: list[Place], first: Place) -> None:
    elsewhere, content, counted = Elsewhere(places), TopicsContent(), Counted()
    audited = Answers(content)
    passed = {}
    for number in {place[1] for place in places}:
        partition, mine = Partition(FRAUD_CONFIRMATION, number), [place for place in places if place[1] == number]
        rows = batch(range(len(mine)), rows=[answer(0, "REPORTED_FRAUD") for _ in mine], partition=partition).rows
        inner = Passed()
        sink = FirstAnswers(inner, elsewhere=elsewhere)  # type: ignore[arg-type]
        sink.assigned(partition, None)
        times, offsets = (np.array([place[part] for place in mine], np.int64) for part in (0, 2))
        sink.write(Batch(partition, offsets, times, rows, int(offsets[-1]) + 1))
        passed[number] = inner.offsets
        messages = [Message(place) for place in mine]
        audited.add(partition, DecodedMessages(rows, messages, []))  # type: ignore[arg-type]
        for place in mine:
            record = {"idTransaction": CASE, "status": str(place), "channel": "LINK"}
            counted.take_record(Message(place), record)  # type: ignore[arg-type]
    assert elsewhere.first_place(CASE) == first
    assert [(number, offset) for number, offsets in passed.items() for offset in offsets] == [first[1:]]
    late = {(partition.number, offset) for partition, offsets in audited.late.items() for offset in offsets}
    assert late == {place[1:] for place in places} - {first[1:]}
    assert counted.answers[CASE].place == first


@given(PLACES)
def test_the_log_has_each_partition_in_its_order_and_partitions_by_time(places: list[Place]) -> None:
    found = in_log_order(places, lambda place: place)
    assert sorted(found) == sorted(places)
    for number in range(3):
        mine = [place for place in found if place[1] == number]
        assert mine == sorted(mine, key=lambda place: place[2])
        assert all(is_before(*pair) for pair in pairwise(mine))
    steady = [(offset, number, offset) for _, number, offset in places]
    assert in_log_order(steady, lambda place: place) == sorted(steady)
