"""The schema registry's client over real sockets."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fraudstream.errors import SchemaRegistryError
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.kafka.registry import Registry
from fraudstream.settings import Settings

from tests.fakes import certificates

_SCHEMA = '"string"'


class _Answers(BaseHTTPRequestHandler):
    """Knows one schema, under id 7."""

    def do_POST(self) -> None:  # the name that http.server calls
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps(
            {"id": 7, "version": 1, "subject": f"{FRAUD_TRANSACTION}-value", "schema": _SCHEMA}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the tests' output to the tests."""


@contextmanager
def registry(certificate: ssl.SSLContext | None = None) -> Iterator[Registry]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        if certificate is not None:
            server.socket = certificate.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        scheme = "http" if certificate is None else "https"
        try:
            yield Registry(Settings(schema_registry_url=f"{scheme}://127.0.0.1:{server.server_port}"))
        finally:
            server.shutdown()


def test_a_schema_has_the_id_that_the_registry_says() -> None:
    with registry() as asked:
        assert asked.identifier(FRAUD_TRANSACTION, _SCHEMA) == 7


def test_a_registry_with_a_certificate_that_nobody_signed_isnt_believed(tmp_path: Path) -> None:
    with (
        registry(certificates.untrusted(tmp_path)) as asked,
        pytest.raises(SchemaRegistryError, match=r"(?i)certificate"),
    ):
        asked.identifier(FRAUD_TRANSACTION, _SCHEMA)
