"""A topic's id, partitions and offsets from the brokers, or an error that names the topic."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import OffsetSpec
from fraudstream.errors import KafkaError, KafkaUnavailable, TopicChanged
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic import topic_identity
from fraudstream.kafka.topic.topic_identity import SameTopic, Topics, first_available
from fraudstream.settings import Settings

UNKNOWN = Code(Code.UNKNOWN_TOPIC_OR_PART)


class Answer:
    """A future of the admin client."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def result(self, seconds: float) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


class Admin:
    """A topic of two partitions, with records at 3 to 9 and 0 to 4, and with an open transaction in the first one."""

    def __init__(self) -> None:
        self.ids = ["an id"]
        self.error: Code | None = None
        self.failure: Exception | None = None

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self.error, partitions={1: None, 0: None})})

    def describe_topics(self, asked: Any, **_: Any) -> dict[str, Answer]:
        identifier = self.ids.pop(0) if len(self.ids) > 1 else self.ids[0]
        return {"payments": Answer(self.failure or SimpleNamespace(topic_id=identifier))}

    def list_offsets(self, places: dict[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Answer]:
        committed = options.get("isolation_level") == IsolationLevel.READ_COMMITTED
        found = {}
        for place, spec in places.items():
            first, end = ((3, 7 if committed else 9), (0, 4))[place.partition]
            offset = end if isinstance(spec, type(OffsetSpec.latest())) else first
            found[place] = Answer(self.failure or SimpleNamespace(offset=offset))
        return found


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    made = Admin()
    monkeypatch.setattr(topic_identity, "AdminClient", lambda config: made)
    return made


def test_a_topic_has_its_id_partitions_and_offsets(admin: Admin) -> None:
    topics = Topics(Settings())
    assert topics.id("payments") == "an id"
    assert topics.partitions("payments") == [Partition("payments", 0), Partition("payments", 1)]
    assert topics.committed_ends("payments") == {0: 7, 1: 4}
    assert (topics.first_offset(Partition("payments", 0)), topics.end_offset(Partition("payments", 0))) == (3, 9)


def test_a_topic_that_is_not_there_is_named(admin: Admin) -> None:
    admin.error = UNKNOWN
    with pytest.raises(KafkaError, match="asking for the partitions of topic payments"):
        Topics(Settings()).partitions("payments")


@pytest.mark.parametrize("failure", [KafkaException(Code(Code.LEADER_NOT_AVAILABLE)), TimeoutError()])
def test_brokers_that_do_not_say_may_do_so_later(admin: Admin, failure: Exception) -> None:
    admin.failure = failure
    topics = Topics(Settings())
    with pytest.raises(KafkaUnavailable, match="the id of topic payments"):
        topics.id("payments")
    with pytest.raises(KafkaUnavailable, match="the ends of topic payments"):
        topics.committed_ends("payments")
    with pytest.raises(KafkaUnavailable, match=r"the offsets of payments\[1\]"):
        topics.end_offset(Partition("payments", 1))


def test_a_topic_that_was_made_anew_is_another_one(admin: Admin) -> None:
    same = SameTopic(Settings(), "payments", "lake")
    same.require_unchanged()
    admin.ids = ["another id"]
    with pytest.raises(TopicChanged, match="its id was an id and is another id"):
        same.require_unchanged()


@pytest.mark.parametrize(
    ("start", "goes_on", "told"),
    [(-2, -2, ""), (2, 5, "offsets 2 to 4"), (4, 5, "offsets 4 to 4"), (5, 5, ""), (9, 9, "")],
)
def test_a_partition_is_read_from_where_its_records_begin(
    caplog: pytest.LogCaptureFixture, start: int, goes_on: int, told: str
) -> None:
    consumer = SimpleNamespace(get_watermark_offsets=lambda place, timeout: (5, 9))
    found = first_available(consumer, Connection(Settings()), Partition("payments", 0), start, "lake")  # type: ignore[arg-type]
    assert found == goes_on
    assert told in caplog.text
    assert bool(caplog.text) is bool(told)


def test_a_partition_that_ends_before_is_another_one() -> None:
    consumer = SimpleNamespace(get_watermark_offsets=lambda place, timeout: (5, 9))
    with pytest.raises(TopicChanged, match=r"group lake is at offset 10, but .* from 5 to 9"):
        first_available(consumer, Connection(Settings()), Partition("payments", 0), 10, "lake")  # type: ignore[arg-type]
