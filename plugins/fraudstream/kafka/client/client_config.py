"""librdkafka's properties, made from the settings: the brokers, the login, and what all clients have in common."""

import importlib
import ssl
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudstream.errors import KafkaUnavailable, SettingsError

if TYPE_CHECKING:
    from fraudstream.settings import Settings

#: FRAUDSTREAM_KAFKA_PROPERTIES may not change these: the pipeline's guarantees or its callbacks depend on them.
RESERVED = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "error_cb",
        "group.id",
        "isolation.level",
        "oauth_cb",
        "partition.assignment.strategy",
        "partitioner",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "transactional.id",
        "transaction.timeout.ms",
    }
)
#: Chooses a key's partition as Kafka's Java clients do; librdkafka's default uses another hash function (CRC32).
PARTITIONER = "murmur2_random"
#: Longest time until a client knows partitions that were added to a topic.
_METADATA_MS = 30_000

#: Returns a token and the time at which it expires, in seconds since 1970.
TokenSource = Callable[[], tuple[str, float]]


def client_config(settings: "Settings", properties: dict[str, Any]) -> dict[str, Any]:
    """Returns a client's configuration: brokers and login, then `properties`, then FRAUDSTREAM_KAFKA_PROPERTIES.

    Later ones override earlier ones.

    :raises SettingsError: a setting that the security protocol needs is missing or can't be used
    :raises KafkaUnavailable: the token source returns no token
    """
    role = str(properties.get("transactional.id") or properties.get("group.id") or "client")
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "topic.metadata.refresh.interval.ms": _METADATA_MS,
        # Broker logs, metrics and quotas tell the roles apart by this name.
        "client.id": "fraudstream-" + role.removeprefix("fraudstream-"),
    }
    if "SASL" in settings.kafka_security_protocol:
        config |= _sasl(settings)
    if "SSL" in settings.kafka_security_protocol:
        config |= _tls(settings)
    return config | properties | {name: text.get_secret_value() for name, text in settings.kafka_properties.items()}


def group_member(group: str) -> dict[str, Any]:
    """Properties of a consumer that reads committed records and commits offsets itself."""
    return {
        "group.id": group,
        "isolation.level": "read_committed",
        # If an offset does not exist, the consumer fails instead of continuing elsewhere.
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "partition.assignment.strategy": "cooperative-sticky",
        # After this a killed member's partitions are reassigned; heartbeats continue while a sink is busy.
        "session.timeout.ms": 10_000,
        # While a mail server is down, a flush waits for it. The group must not remove the member meanwhile.
        "max.poll.interval.ms": 3_600_000,
        "queued.max.messages.kbytes": 32_768,
        "fetch.wait.max.ms": 100,
        # How long the client stops fetching once enough records are queued in it; by default a second.
        "fetch.queue.backoff.ms": 20,
    }


def one_read(name: str) -> dict[str, Any]:
    """Properties of a consumer that reads committed records to the end of a topic and joins no group.

    :param name: the group id that librdkafka requires; nothing is committed to it
    """
    return {
        "group.id": name,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # How long a broker waits for new records before it answers that this is the end; by default half a second.
        "fetch.wait.max.ms": 10,
    }


def unknown_property(properties: dict[str, str]) -> str:
    """Returns librdkafka's reason for refusing these properties; empty if it accepts them."""
    from confluent_kafka import KafkaException  # noqa: PLC0415  # code without Kafka also reads the settings
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    try:
        AdminClient({"log_level": 0, **properties})  # has no broker's address, so it connects to nothing
    except KafkaException as error:
        return str(error.args[0].str())
    return ""


def identity(settings: "Settings") -> str:
    """A client's user, certificate or token source, with the setting that names it; for messages."""
    if "SASL" not in settings.kafka_security_protocol:
        file = settings.kafka_ssl_certificate_location
        return f"the owner of certificate {file!r} (FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION)"
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return f"the owner of the token of {settings.kafka_token_source!r} (FRAUDSTREAM_KAFKA_TOKEN_SOURCE)"
    return f"user {settings.kafka_sasl_username!r} (FRAUDSTREAM_KAFKA_SASL_USERNAME)"


def _sasl(settings: "Settings") -> dict[str, Any]:
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        source = _token_source(settings)
        try:
            source()  # the client's own error would only say that it has no token
        except Exception as error:
            raise KafkaUnavailable(
                f"FRAUDSTREAM_KAFKA_TOKEN_SOURCE is {settings.kafka_token_source!r}, which gives no token: {error!r}"
            ) from error
        return {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": partial(_token, source)}
    if not settings.kafka_sasl_username or not settings.kafka_sasl_password.get_secret_value():
        raise SettingsError(
            f"FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}, but "
            f"FRAUDSTREAM_KAFKA_SASL_USERNAME or FRAUDSTREAM_KAFKA_SASL_PASSWORD is empty: set both"
        )
    return {
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
    }


def _tls(settings: "Settings") -> dict[str, Any]:
    config = {}
    for property_, field, what in (
        ("ssl.ca.location", "kafka_ssl_ca_location", "the certificate (PEM) of the authority that signed the brokers'"),
        ("ssl.certificate.location", "kafka_ssl_certificate_location", "the client's certificate (PEM)"),
        ("ssl.key.location", "kafka_ssl_key_location", "the private key (PEM) of the client's certificate"),
    ):
        path = getattr(settings, field)
        if path and not Path(path).is_file():
            raise SettingsError(f"FRAUDSTREAM_{field.upper()} is {path!r}, which is not a file: give {what}")
        if path:
            config[property_] = path
    if bool(settings.kafka_ssl_certificate_location) != bool(settings.kafka_ssl_key_location):
        raise SettingsError(
            "a client certificate needs its key: set both FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION and "
            "FRAUDSTREAM_KAFKA_SSL_KEY_LOCATION, or neither"
        )
    password = settings.kafka_ssl_key_password.get_secret_value()
    if password:
        config["ssl.key.password"] = password
    _require_usable(
        settings.kafka_ssl_ca_location,
        settings.kafka_ssl_certificate_location,
        settings.kafka_ssl_key_location,
        password,
    )
    return config


@lru_cache(maxsize=4)
def _require_usable(authority: str, certificate: str, key: str, password: str) -> None:
    """Loads the TLS files as the client will, because the client's own errors name no setting.

    Files that were loaded successfully aren't loaded again.

    :raises SettingsError: a file can't be used
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if authority:
            context.load_verify_locations(authority)
    except OSError as error:
        raise SettingsError(
            f"FRAUDSTREAM_KAFKA_SSL_CA_LOCATION is {authority!r}, which can't be used ({error}): give the certificate "
            f"(PEM) of the authority that signed the brokers'"
        ) from error
    try:
        if certificate:
            context.load_cert_chain(certificate, key, password)
    except OSError as error:
        raise SettingsError(
            f"FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION {certificate!r} and FRAUDSTREAM_KAFKA_SSL_KEY_LOCATION "
            f"{key!r} can't be used together ({error}): expected a certificate (PEM), its own private key (PEM), and "
            f"in FRAUDSTREAM_KAFKA_SSL_KEY_PASSWORD the key's password, if it has one"
        ) from error


def _token_source(settings: "Settings") -> TokenSource:
    named = settings.kafka_token_source
    setting = f"FRAUDSTREAM_KAFKA_TOKEN_SOURCE is {named!r}"
    if named == "google":
        named = "fraudstream.kafka.client.google_token:google_token"
    module, _, function = named.partition(":")
    if not module or not function:
        raise SettingsError(
            f"{setting}, and FRAUDSTREAM_KAFKA_SASL_MECHANISM is OAUTHBEARER: expected google, or module:function "
            f"with a function that returns a token and the time at which it expires (seconds since 1970)"
        )
    try:
        source: TokenSource = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{setting}, which can't be imported: {error}") from error
    return source


def _token(source: TokenSource, _: str) -> tuple[str, float]:
    """The client's callback for tokens. The client passes its exceptions to the error callback."""
    return source()
