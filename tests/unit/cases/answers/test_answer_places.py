"""The position of each case's first answer; answers that are dead letters do not count."""

from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.cases.answers import places as answer_places
from fraudstream.cases.answers.places import AnswerPlaces
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

from tests.unit.cases.views.view_broker import Broker, until


class Letters:
    """The dead letters: times by offset in partition 0. The first request of them fails."""

    def __init__(self, **times: int) -> None:
        self._places = {int(offset[1:]): {time} for offset, time in times.items()}
        self.asked = 0
        self.closed = False

    def lately(self, partition: Partition) -> dict[int, set[int]]:
        self.asked += 1
        if self.asked == 1:
            raise KafkaUnavailable("the brokers don't answer")
        return self._places if partition.number == 0 else {}

    def close(self) -> None:
        self.closed = True


def test_an_answer_that_was_a_dead_letter_counts_where_it_was_produced_again(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters: Any = Letters(_5=1_005, _9=7)  # offset 9: a dead letter of a deleted topic
    monkeypatch.setattr(answer_places, "KnownDeadLetters", lambda settings, topic: letters)
    monkeypatch.setattr(answer_places, "Topics", lambda settings: None)
    monkeypatch.setattr(answer_places, "RETRY_SECONDS", 0.01)
    broker.answer("a", "REPORTED_FRAUD", offset=5, sent=1_005)  # the registry knows its schema now
    broker.answer("b", "REPORTED_FRAUD", partition=1, offset=5, sent=1_005)
    broker.answer("a", "REPORTED_FRAUD", offset=9, sent=1_009)
    places = AnswerPlaces(Settings())
    try:
        broker.end_of(0, 10)
        until(lambda: places.position(0) == 10)
        assert places.first_place("a") == (1_009, 0, 9)
        assert places.first_place("b") == (1_005, 1, 5), "the letter is about another partition"
    finally:
        places.close()
    assert letters.closed


@pytest.mark.parametrize(("records_per_second", "reads"), [(1, True), (0, False)])
def test_a_long_topic_is_read_to_its_end_as_long_as_records_come(
    monkeypatch: pytest.MonkeyPatch, records_per_second: int, reads: bool
) -> None:
    places, seconds = object.__new__(AnswerPlaces), [0.0]

    def sleep(_: float) -> None:
        seconds[0] += 1

    monkeypatch.setattr(answer_places, "time", SimpleNamespace(monotonic=lambda: seconds[0], sleep=sleep))
    monkeypatch.setattr(AnswerPlaces, "position", lambda self, number: int(seconds[0]) * records_per_second)
    topics: Any = SimpleNamespace(committed_ends=lambda topic: {0: 1_000})
    monkeypatch.setattr(places, "_topics", topics, raising=False)
    if reads:
        places.catch_up()
        assert seconds[0] == 1_000
    else:
        with pytest.raises(KafkaUnavailable, match=r"partitions \[0\].*nothing came for 120 s"):
            places.catch_up()
