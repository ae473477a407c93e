"""Which errors of brokers are retriable, and which need a change by the user."""

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable
from fraudstream.kafka.client.connection import Connection
from fraudstream.settings import Settings


def raised(code: int) -> KafkaError:
    return Connection(Settings()).error(Code(code), doing="asking for the offsets of payments[3]")


@pytest.mark.parametrize(
    "code",
    [
        Code.NOT_LEADER_FOR_PARTITION,
        Code.NOT_COORDINATOR,
        Code.COORDINATOR_LOAD_IN_PROGRESS,
        Code.NOT_ENOUGH_REPLICAS,
        Code.REBALANCE_IN_PROGRESS,
        Code.NOT_CONTROLLER,
        Code.THROTTLING_QUOTA_EXCEEDED,
        Code._TIMED_OUT,
        Code._TRANSPORT,
    ],
)
def test_what_passes_while_a_leader_or_coordinator_changes_is_tried_again(code: int) -> None:
    error = raised(code)
    assert isinstance(error, KafkaUnavailable)
    assert error.retryable
    assert "asking for the offsets of payments[3]" in str(error)


def test_an_answer_that_does_not_come_in_time_is_tried_again() -> None:
    """A future of the admin client raised this error, and a consumer ended with a traceback."""
    error = Connection(Settings()).error(TimeoutError(), doing="asking for the id of topic payments")
    assert isinstance(error, KafkaUnavailable)


@pytest.mark.parametrize("code", [Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED])
def test_a_missing_right_is_not(code: int) -> None:
    assert isinstance(raised(code), KafkaRefused)
    assert not raised(code).retryable


@pytest.mark.parametrize("code", [Code.UNKNOWN_TOPIC_OR_PART, Code.OFFSET_OUT_OF_RANGE, Code.INVALID_CONFIG])
def test_what_somebody_must_change_is_not(code: int) -> None:
    assert not raised(code).retryable
