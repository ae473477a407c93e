"""Clusters of other operators: client certificates, tokens, a registry with TLS and a login, with real components."""

import base64
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from fraudstream.dataset.source.source import open_source
from fraudstream.errors import KafkaRefused, SchemaRegistryError
from fraudstream.kafka.avro.codec import schema_text
from fraudstream.kafka.avro.registry import Registry
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.cluster import wait_for_brokers
from fraudstream.settings import Settings
from pydantic import SecretStr

from tests.fakes import certificates
from tests.fakes.http import QuietHandler, serving
from tests.integration.kafka_access.secured_brokers import Secured
from tests.integration.pipeline import decoded, good_row, paysim, publisher

pytestmark = pytest.mark.integration

_KEY_PASSWORD = "password of the key"
_LOGIN = "reader:pass word"


def token_of(user: str) -> tuple[str, float]:
    """An unsigned token, which Kafka's module for tests accepts."""
    expires = time.time() + 600
    claims = {"sub": user, "iat": time.time(), "exp": expires}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*parts, ""]), expires


def producer_token() -> tuple[str, float]:
    return token_of("producer")


def monitor_token() -> tuple[str, float]:
    return token_of("monitor")


def with_certificate(secured: Secured, user: str, folder: Path, **changes: object) -> Settings:
    certificate, key = secured.signer.client(user, folder, _KEY_PASSWORD)
    return secured.settings_of(
        "nobody",
        kafka_bootstrap_servers=secured.mutual_servers,
        kafka_security_protocol="SSL",
        kafka_ssl_certificate_location=str(certificate),
        kafka_ssl_key_location=str(key),
        kafka_ssl_key_password=SecretStr(_KEY_PASSWORD),
        **changes,
    )


def with_tokens(secured: Secured, source: str) -> Settings:
    return secured.settings_of(
        "nobody",
        kafka_bootstrap_servers=secured.token_servers,
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_token_source=f"{__name__}:{source}",
    )


def rows_produced(settings: Settings, reader: Settings, folder: Path) -> int:
    path = paysim([good_row(1), good_row(2)], folder)
    assert publisher(settings, path).run().done
    return len(decoded(reader, NON_FRAUD_TRANSACTION, open_source(str(path), None).id_prefix))


def test_a_client_certificate_lets_its_user_in_with_its_rights(secured: Secured, tmp_path: Path) -> None:
    assert rows_produced(with_certificate(secured, "producer", tmp_path), secured.settings_of("airflow"), tmp_path) == 2
    with pytest.raises(KafkaRefused, match=r"the owner of certificate '.*monitor\.pem'.* may not"):
        publisher(with_certificate(secured, "monitor", tmp_path), paysim([good_row(1)], tmp_path)).run()


def test_a_cluster_that_asks_for_a_certificate_refuses_who_has_none(secured: Secured) -> None:
    settings = secured.settings_of(
        "nobody", kafka_bootstrap_servers=secured.mutual_servers, kafka_security_protocol="SSL"
    )
    with pytest.raises(KafkaRefused, match=r"certificate required.*FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION"):
        wait_for_brokers(settings, seconds=5)


def test_a_token_lets_its_user_in_with_its_rights(secured: Secured, tmp_path: Path) -> None:
    assert rows_produced(with_tokens(secured, "producer_token"), secured.settings_of("airflow"), tmp_path) == 2
    with pytest.raises(KafkaRefused, match=r"the owner of the token of '.*monitor_token'.* may not"):
        publisher(with_tokens(secured, "monitor_token"), paysim([good_row(1)], tmp_path)).run()


class _BehindALogin(QuietHandler):
    """Forwards requests with the right login to the real registry."""

    registry = ""

    def do_GET(self) -> None:  # noqa: N802  # the names that http.server calls
        self._hand_on(None)

    def do_POST(self) -> None:  # noqa: N802
        self._hand_on(self.rfile.read(int(self.headers["Content-Length"])))

    do_PUT = do_POST

    def _hand_on(self, body: bytes | None) -> None:
        status, answer = 401, b'{"error_code": 401, "message": "Unauthorized"}'
        if self.headers.get("Authorization") == f"Basic {base64.b64encode(_LOGIN.encode()).decode()}":
            kind = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
            request = urllib.request.Request(self.registry + self.path, body, kind, method=self.command)  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as found:  # noqa: S310
                status, answer = found.status, found.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def registry_behind_a_login(settings: Settings, folder: Path) -> Iterator[Settings]:
    address, _, path = settings.schema_registry_url.partition("/apis")
    _BehindALogin.registry = address
    context = certificates.untrusted(folder)
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _BehindALogin), context) as url:
        username, _, password = _LOGIN.partition(":")
        yield settings.model_copy(
            update={
                "schema_registry_url": f"{url}/apis{path}",
                "schema_registry_username": username,
                "schema_registry_password": SecretStr(password),
                "schema_registry_ca_location": str(folder / "server.pem"),
            }
        )


def test_a_registry_with_tls_and_a_login_answers_who_knows_it(settings: Settings, tmp_path: Path) -> None:
    text = schema_text(FRAUD_TRANSACTION)
    with registry_behind_a_login(settings, tmp_path) as behind:
        assert Registry(behind).register(FRAUD_TRANSACTION, text) == Registry(settings).identifier(
            FRAUD_TRANSACTION, text
        )
        wrong = behind.model_copy(update={"schema_registry_password": SecretStr("hush-hush")})
        with pytest.raises(SchemaRegistryError, match=r"401|Unauthorized") as raised:
            Registry(wrong).identifier(FRAUD_TRANSACTION, text)
        assert "hush-hush" not in str(raised.value)
