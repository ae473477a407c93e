"""How long a client waits for brokers, and the error if they refuse it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation
from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable, SettingsError
from fraudstream.kafka.client import connection
from fraudstream.kafka.client.client_config import client_config
from fraudstream.kafka.client.connection import Connection, unwritable
from fraudstream.settings import Settings


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(connection, "time", made)
    return made


class Client:
    """Answers from time `answers_at` on; passes `hears` to the error callback when it is polled."""

    def __init__(
        self, clock: Clock, told: Callable[[Code], None], answers_at: float, hears: Code | None = None
    ) -> None:
        self._clock, self._told, self._answers_at, self._hears = clock, told, answers_at, hears
        self.waits: list[float] = []

    def poll(self, timeout: float) -> None:
        if self._hears is not None:
            self._told(self._hears)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        self.waits.append(timeout)
        if self._clock.now >= self._answers_at:
            return "metadata"
        self._clock.now += timeout
        raise KafkaException(Code(Code._TRANSPORT, "no answer"))


NEVER = float("inf")


def opened(clock: Clock, *, answers_at: float = NEVER, hears: Code | None = None, **options: float) -> float:
    """The seconds that opening took."""
    made, started = Connection(Settings()), clock.now
    client = Client(clock, made.on_error, answers_at, hears)
    try:
        assert made.open(client, **options) == "metadata"  # type: ignore[arg-type]
    finally:
        assert min(client.waits) >= 0.1
        assert max(client.waits) <= 1
    return clock.now - started


class TestOpen:
    def test_brokers_that_answer_in_time_are_waited_for(self, clock: Clock) -> None:
        assert opened(clock, answers_at=1_020) == pytest.approx(20)

    def test_brokers_that_never_answer_are_not(self, clock: Clock) -> None:
        with pytest.raises(KafkaUnavailable, match="no answer; no broker said why"):
            opened(clock, seconds=12)
        assert clock.now == pytest.approx(1_012, abs=0.2)

    @pytest.mark.parametrize(
        ("code", "text", "said"),
        [
            (Code._AUTHENTICATION, "wrong password", "isn't let in: .*wrong password"),
            (Code._SSL, "unknown ca", "TLS with the brokers: .*unknown ca"),
            (Code._TRANSPORT, "SSL routines: alert", "TLS with the brokers: .*SSL routines"),
        ],
    )
    def test_a_client_that_is_turned_away_says_so_at_once(self, clock: Clock, code: int, text: str, said: str) -> None:
        with pytest.raises(KafkaRefused, match=said):
            opened(clock, hears=Code(code, text))
        assert clock.now == pytest.approx(1_001)

    def test_brokers_that_close_every_connection_for_three_seconds_mean_it(self, clock: Clock) -> None:
        with pytest.raises(KafkaRefused, match=r"close every connection.*SECURITY_PROTOCOL"):
            opened(clock, hears=Code(Code._ALL_BROKERS_DOWN, "all down"))
        assert clock.now == pytest.approx(1_004)

    def test_a_lost_connection_is_no_refusal(self, clock: Clock) -> None:
        with pytest.raises(KafkaUnavailable, match=r"no answer; .*connection refused"):
            opened(clock, hears=Code(Code._TRANSPORT, "connection refused"), seconds=5)


class TestHeard:
    def raised(self, made: Connection) -> KafkaError:
        return made.error(Code(Code._TIMED_OUT, "time is up"), doing="reading")

    def test_that_all_brokers_are_down_says_less_than_what_one_of_them_said(self, clock: Clock) -> None:
        made = Connection(Settings())
        made.on_error(Code(Code._AUTHENTICATION, "wrong password"))
        made.on_error(Code(Code._ALL_BROKERS_DOWN, "all down"))
        assert "wrong password" in str(self.raised(made))
        made.on_error(Code(Code._TRANSPORT, "connection refused"))
        assert "connection refused" in str(self.raised(made))

    @pytest.mark.parametrize(("passed", "explains"), [(59, True), (60, False)])
    def test_what_was_heard_explains_nothing_a_minute_later(self, clock: Clock, passed: int, explains: bool) -> None:
        made = Connection(Settings())
        made.on_error(Code(Code._AUTHENTICATION, "wrong password"))
        clock.now += passed
        assert isinstance(self.raised(made), KafkaRefused if explains else KafkaUnavailable)

    def test_what_was_heard_before_a_broker_answered_is_forgotten(self, clock: Clock) -> None:
        made = Connection(Settings())
        made.on_error(Code(Code._AUTHENTICATION, "wrong password"))
        made.open(Client(clock, made.on_error, answers_at=0))  # type: ignore[arg-type]
        assert isinstance(self.raised(made), KafkaUnavailable)


class TestWritable:
    def asked(self, monkeypatch: pytest.MonkeyPatch, rights: dict[str, Any]) -> list[str]:
        def result(right: Any) -> Any:
            if right is None:
                raise KafkaException(Code(Code.TOPIC_AUTHORIZATION_FAILED))
            return SimpleNamespace(authorized_operations=right)

        answers = {name: SimpleNamespace(result=lambda _, right=right: result(right)) for name, right in rights.items()}
        admin = SimpleNamespace(describe_topics=lambda names, include_authorized_operations: answers)
        monkeypatch.setattr(connection, "AdminClient", lambda config: admin)
        return unwritable(Settings(), list(rights))

    def test_only_those_that_may_not_be_written_to_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rights = {"a": {AclOperation.READ, AclOperation.WRITE}, "b": {AclOperation.READ}, "c": None}
        assert self.asked(monkeypatch, rights) == ["b", "c"]

    def test_where_none_is_known_it_may_be_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.asked(monkeypatch, {"a": {AclOperation.WRITE}, "b": {AclOperation.WRITE}}) == ["a", "b"]


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"transactional.id": "fraudstream-produce-1", "group.id": "g"}, "fraudstream-produce-1"),
        ({"transactional.id": "produce-1"}, "fraudstream-produce-1"),
        ({"group.id": "lake"}, "fraudstream-lake"),
        ({}, "fraudstream-client"),
        ({"client.id": "mine", "group.id": "lake"}, "mine"),
    ],
)
def test_brokers_know_a_client_by_what_it_does(properties: dict[str, str], name: str) -> None:
    assert client_config(Settings(), properties)["client.id"] == name


SASL: dict[str, Any] = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "SCRAM-SHA-512"}


def test_a_login_is_a_name_and_a_password() -> None:
    config = client_config(Settings(kafka_sasl_username="lake", kafka_sasl_password="s3cret", **SASL), {})
    assert [config[f"sasl.{name}"] for name in ("mechanism", "username", "password")] == [
        "SCRAM-SHA-512",
        "lake",
        "s3cret",
    ]


@pytest.mark.parametrize(("name", "password"), [("", "s3cret"), ("lake", ""), ("", "")])
def test_half_a_login_is_refused_before_brokers_are_asked(name: str, password: str) -> None:
    settings = Settings(kafka_sasl_username=name, kafka_sasl_password=password, **SASL)
    with pytest.raises(SettingsError, match="SASL_USERNAME or FRAUDSTREAM_KAFKA_SASL_PASSWORD is empty: set both"):
        client_config(settings, {})
