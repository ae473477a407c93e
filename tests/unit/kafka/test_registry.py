"""The schema registry's client over real sockets."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from fraudstream.errors import SchemaRegistryError
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.kafka.registry import Registry
from fraudstream.settings import Settings

from tests.fakes import certificates
from tests.fakes.http import QuietHandler, serving

_SCHEMA = '"string"'


class _Answers(QuietHandler):
    """Knows one schema, under id 7."""

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps(
            {"id": 7, "version": 1, "subject": f"{FRAUD_TRANSACTION}-value", "schema": _SCHEMA}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def registry(certificate: ssl.SSLContext | None = None) -> Iterator[Registry]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Answers), certificate) as url:
        yield Registry(Settings(schema_registry_url=url))


def test_a_schema_has_the_id_that_the_registry_says() -> None:
    with registry() as asked:
        assert asked.identifier(FRAUD_TRANSACTION, _SCHEMA) == 7


def test_a_registry_with_a_certificate_that_nobody_signed_isnt_believed(tmp_path: Path) -> None:
    with (
        registry(certificates.untrusted(tmp_path)) as asked,
        pytest.raises(SchemaRegistryError, match=r"(?i)certificate"),
    ):
        asked.identifier(FRAUD_TRANSACTION, _SCHEMA)
