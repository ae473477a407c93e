"""A deployment waits for its brokers and its registry, at most for the given time."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaRefused, KafkaUnavailable, SchemaRegistryError
from fraudstream.kafka.client import connection
from fraudstream.kafka.topic import cluster
from fraudstream.kafka.topic.definitions import SCHEMA_FILES
from fraudstream.settings import Settings

SETTINGS = Settings(kafka_replication_factor=3)


class Clock:
    """Advances only when somebody sleeps or waits for an answer."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(cluster, "time", made)
    monkeypatch.setattr(connection, "time", made)
    return made


class Admin:
    """`brokers(now)` is their number. Nothing answers before `silent_until`; logins fail before `refused_until`."""

    def __init__(self, clock: Clock, brokers: Any, silent_until: float = 0, refused_until: float = 0) -> None:
        self._clock, self._brokers = clock, brokers
        self._silent_until, self._refused_until = silent_until, refused_until

    def __call__(self, config: dict[str, Any]) -> "Admin":
        self._on_error = config["error_cb"]
        return self

    def poll(self, seconds: float) -> None:
        if self._clock.now < self._refused_until:
            self._on_error(Code(Code._AUTHENTICATION, "who are you"))

    def list_topics(self, topic: str | None, timeout: float) -> Any:
        if self._clock.now < max(self._silent_until, self._refused_until):
            self._clock.now += timeout
            raise KafkaException(Code(Code._TRANSPORT))
        return SimpleNamespace(brokers=dict.fromkeys(range(self._brokers(self._clock.now))))


def waited(monkeypatch: pytest.MonkeyPatch, admin: Admin, seconds: float = 60) -> int:
    monkeypatch.setattr(cluster, "AdminClient", admin)
    return cluster.wait_for_brokers(SETTINGS, seconds=seconds)


class TestBrokers:
    def test_it_is_waited_until_as_many_answer_as_a_record_has_replicas(
        self, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        assert waited(monkeypatch, Admin(clock, lambda now: 2 if now < 20 else 3)) == 3
        assert 20 <= clock.now < 22

    def test_brokers_that_start_meanwhile_are_found(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        assert waited(monkeypatch, Admin(clock, lambda now: 4, silent_until=30)) == 4

    def test_too_few_are_named_when_the_time_is_over(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        with pytest.raises(KafkaUnavailable, match=r"2 of 3 brokers answer at .*BOOTSTRAP_SERVERS"):
            waited(monkeypatch, Admin(clock, lambda now: 2))
        assert 60 <= clock.now <= 62

    def test_a_login_that_becomes_known_is_waited_for(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        assert waited(monkeypatch, Admin(clock, lambda now: 3, refused_until=20)) == 3

    def test_a_login_that_stays_refused_is_told_in_the_end(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        with pytest.raises(KafkaRefused, match="who are you"):
            waited(monkeypatch, Admin(clock, lambda now: 3, refused_until=1_000))
        assert clock.now >= 60


class TestSchemas:
    @pytest.fixture
    def registered(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> dict[str, float]:
        """The time at which each topic's schema was registered; nothing answers before second 30."""
        found: dict[str, float] = {}

        def register(topic: str, schema: str) -> int:
            if clock.now < 30:
                raise SchemaRegistryError("connection refused")
            found[topic] = clock.now
            return len(found)

        monkeypatch.setattr(cluster, "Registry", lambda settings: SimpleNamespace(register=register))
        return found

    def test_each_topic_s_schema_is_registered_once_the_registry_answers(self, registered: dict[str, float]) -> None:
        identifiers = cluster.register_schemas(SETTINGS, seconds=60)
        assert list(identifiers) == list(SCHEMA_FILES)
        assert identifiers == {topic: number for number, topic in enumerate(SCHEMA_FILES, start=1)}

    def test_a_registry_that_does_not_answer_is_told_when_the_time_is_over(
        self, registered: dict[str, float], clock: Clock
    ) -> None:
        with pytest.raises(SchemaRegistryError, match="connection refused"):
            cluster.register_schemas(SETTINGS, seconds=20)
        assert 20 < clock.now <= 24
        assert registered == {}
