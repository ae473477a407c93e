"""Turns a client's errors into messages that say what to change: the login, the certificate, the protocol, an ACL.

The client library retries without end and reports the cause only to its error callback. Calls that wait only report a
timeout. A :class:`Connection` receives the error callback of one client and combines both.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ClusterMetadata

from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable
from fraudstream.kafka.client.client_config import identity
from fraudstream.settings import Settings

_RIGHTS = {
    Code.TOPIC_AUTHORIZATION_FAILED,
    Code.GROUP_AUTHORIZATION_FAILED,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    Code.CLUSTER_AUTHORIZATION_FAILED,
}
#: Broker errors that Kafka's protocol guide calls retriable: they pass by themselves, such as while a leader,
#: coordinator or controller changes. The client library marks them as retriable only in transactions.
_PASSING = {
    Code.LEADER_NOT_AVAILABLE,
    Code.NOT_LEADER_FOR_PARTITION,
    Code.REQUEST_TIMED_OUT,
    Code.BROKER_NOT_AVAILABLE,
    Code.REPLICA_NOT_AVAILABLE,
    Code.NETWORK_EXCEPTION,
    Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_COORDINATOR,
    Code.NOT_ENOUGH_REPLICAS,
    Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    Code.ILLEGAL_GENERATION,
    Code.UNKNOWN_MEMBER_ID,
    Code.REBALANCE_IN_PROGRESS,
    Code.NOT_CONTROLLER,
    Code.CONCURRENT_TRANSACTIONS,
    Code.KAFKA_STORAGE_ERROR,
    Code.FETCH_SESSION_ID_NOT_FOUND,
    Code.INVALID_FETCH_SESSION_EPOCH,
    Code.FENCED_LEADER_EPOCH,
    Code.UNKNOWN_LEADER_EPOCH,
    Code.STALE_BROKER_EPOCH,
    Code.OFFSET_NOT_AVAILABLE,
    Code.PREFERRED_LEADER_NOT_AVAILABLE,
    Code.UNSTABLE_OFFSET_COMMIT,
    Code.THROTTLING_QUOTA_EXCEEDED,
}
#: Seconds for which brokers may close every connection before that counts as a refusal: restarting brokers do so, too.
_CLOSING_SECONDS = 3.0
#: Seconds for which the last error of the callback counts as the cause of other errors.
_EXPLAINS_SECONDS = 60.0


class Client(Protocol):
    """A producer, consumer or admin client of confluent_kafka."""

    def poll(self, timeout: float) -> object:
        """Serves callbacks."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Requests metadata from a broker."""


class Connection:
    """The last connection error of one client. The client needs :meth:`on_error` as its ``error_cb``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heard: Code | None = None
        self._heard_at = 0.0

    def on_error(self, error: Code) -> None:
        """The client's error callback. "All brokers are down" doesn't replace a broker's error, which says more."""
        if self._last is None or error.code() != Code._ALL_BROKERS_DOWN:
            self._heard, self._heard_at = error, time.monotonic()

    def open(self, client: Client, topic: str | None = None, *, seconds: float = 30.0) -> ClusterMetadata:
        """Waits until a broker answers, and returns its metadata of all topics or of `topic`.

        :raises KafkaRefused: login, certificate or protocol is wrong; doesn't wait for the end of `seconds`
        :raises KafkaUnavailable: no broker answers within `seconds`
        """
        started = time.monotonic()
        while True:
            left = started + seconds - time.monotonic()
            try:
                found = client.list_topics(topic, timeout=max(0.1, min(1.0, left)))
            except KafkaException as error:
                client.poll(0)
                closed = self._closed and time.monotonic() - started > _CLOSING_SECONDS
                if self._code == Code._AUTHENTICATION or self._tls or closed or left <= 0:
                    raise self.error(error) from error
            else:
                self._heard = None
                return found

    def error(self, error: KafkaException | Code | TimeoutError, *, doing: str = "asking the brokers") -> KafkaError:
        """Returns the exception to raise for an error of the client.

        :param doing: what failed, with the topic, group or file; it begins the message
        """
        settings = self._settings
        if isinstance(error, TimeoutError):  # of a future of the admin client: no answer in time
            error = Code(Code._TIMED_OUT)
        reason = error.args[0] if isinstance(error, KafkaException) else error
        said = "no broker said why" if self._last is None else self._last.str()
        answer = reason.str().rstrip(".")
        where = f"{doing} at Kafka {settings.kafka_bootstrap_servers} (FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS) failed"
        if reason.code() in _RIGHTS:
            return KafkaRefused(
                f"{where}: {identity(settings)} may not: "
                f"{answer}. Run this as the role it is for, or grant the right: docker/kafka/acls lists them all"
            )
        if self._code == Code._AUTHENTICATION:
            by_token = settings.kafka_sasl_mechanism == "OAUTHBEARER"
            check = "FRAUDSTREAM_KAFKA_TOKEN_SOURCE" if by_token else "FRAUDSTREAM_KAFKA_SASL_USERNAME, _SASL_PASSWORD"
            return KafkaRefused(
                f"{where}: {identity(settings)} isn't let in: {said}. Check {check} and _SASL_MECHANISM "
                f"({settings.kafka_sasl_mechanism})"
            )
        if self._tls:
            return KafkaRefused(
                f"{where}: TLS with the brokers: {said}. FRAUDSTREAM_KAFKA_SSL_CA_LOCATION "
                f"({settings.kafka_ssl_ca_location!r}) must name the file of the authority that signed their "
                f"certificates, and the addresses must be the names in them; where they ask for the client's, "
                f"FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION must be one that they trust"
            )
        if self._closed:
            return KafkaRefused(
                f"{where}: the brokers close every connection. Does their listener speak "
                f"{settings.kafka_security_protocol} (FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL)?"
            )
        # The client's own codes are below 0: no broker answered.
        if reason.code() < 0 or reason.retriable() or reason.code() in _PASSING:
            return KafkaUnavailable(f"{where}: {answer}; {said}. Are the brokers running?")
        return KafkaError(f"{where}: {answer}")

    @property
    def _code(self) -> int | None:
        return None if self._last is None else self._last.code()

    @property
    def _tls(self) -> bool:
        """Whether TLS failed. A refusal by the broker is reported as a lost connection with OpenSSL's reason."""
        return self._last is not None and (self._last.code() == Code._SSL or "SSL routines" in self._last.str())

    @property
    def _last(self) -> Code | None:
        """The callback's last error; None if it is too old to be the cause of another error."""
        return self._heard if time.monotonic() - self._heard_at < _EXPLAINS_SECONDS else None

    @property
    def _closed(self) -> bool:
        """Whether the brokers close connections without a reason: other failures are reported as errors of a broker."""
        return self._code is not None and bool(self._code == Code._ALL_BROKERS_DOWN)


def unwritable(settings: Settings, topics: Sequence[str]) -> list[str]:
    """The topics that the user may not write to; all of `topics` if the brokers name none of them."""
    admin = AdminClient(settings.kafka_config())
    asked = admin.describe_topics(TopicCollection(list(topics)), include_authorized_operations=True)
    found = []
    for topic, answer in asked.items():
        try:
            writable = AclOperation.WRITE in answer.result(30).authorized_operations
        except (KafkaException, TimeoutError):  # the user may not even describe the topic, or nobody answers
            writable = False
        if not writable:
            found.append(topic)
    return found or list(topics)
