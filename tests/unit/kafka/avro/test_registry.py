"""The schema registry's client over real sockets."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from fraudstream.errors import SchemaRegistryError
from fraudstream.kafka.avro.registry import RegisteredSchema, Registry
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.settings import Settings

from tests.fakes import certificates
from tests.fakes.http import QuietHandler, serving

_SCHEMA = '"string"'
SUBJECT = f"{FRAUD_TRANSACTION}-value"
JSON = "application/json"
_REGISTERED = {"id": 7, "version": 1, "subject": SUBJECT, "schema": _SCHEMA}
#: Status, content type and body of each path. The answers are those of Apicurio 2.6.13 under /apis/ccompat/v7.
ANSWERS: dict[str, tuple[int, str, str]] = {
    "/schemas/ids/7": (200, JSON, json.dumps({"schema": _SCHEMA, "references": []})),
    "/schemas/ids/8": (200, JSON, json.dumps({"schema": "{}", "schemaType": "JSON", "references": []})),
    "/schemas/ids/9": (
        200,
        JSON,
        json.dumps({"schema": _SCHEMA, "references": [{"name": "Money", "subject": "money-value", "version": 1}]}),
    ),
    "/schemas/ids/404": (
        404,
        JSON,
        json.dumps({"error_code": 40403, "message": "No content with id/hash 'contentId-404' was found."}),
    ),
    f"/subjects/{SUBJECT}/versions/latest": (200, JSON, json.dumps(_REGISTERED)),
}
UNKNOWN_PATH = (404, JSON, json.dumps({"error_code": 0, "message": "RESTEASY003210: Could not find resource"}))
UNKNOWN_SUBJECT = (404, JSON, json.dumps({"error_code": 40401, "message": "No artifact with ID 'x' was found."}))
PAGE = "<html><body>Not found</body></html>"


class _Answers(QuietHandler):
    """A registry with the responses in `answers`."""

    answers: ClassVar[dict[str, tuple[int, str, str]]] = {}

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        self._answer(*self.answers.get(self.path.partition("?")[0], UNKNOWN_PATH))

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, JSON, json.dumps(_REGISTERED))

    def _answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@contextmanager
def registry(
    certificate: ssl.SSLContext | None = None, path: str = "", **answers: tuple[int, str, str]
) -> Iterator[Registry]:
    """A registry with :data:`ANSWERS`; `answers` replaces some of them, by a part of their path."""
    known = {key: next((a for part, a in answers.items() if part in key), a) for key, a in ANSWERS.items()}
    handler = type("Handler", (_Answers,), {"answers": known})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler), certificate) as url:
        yield Registry(Settings(schema_registry_url=url + path))


def test_a_schema_has_the_id_that_the_registry_says() -> None:
    with registry() as asked:
        assert asked.identifier(FRAUD_TRANSACTION, _SCHEMA) == 7


def test_a_registry_with_a_certificate_that_nobody_signed_isnt_believed(tmp_path: Path) -> None:
    with (
        registry(certificates.untrusted(tmp_path)) as asked,
        pytest.raises(SchemaRegistryError, match=r"(?i)certificate"),
    ):
        asked.identifier(FRAUD_TRANSACTION, _SCHEMA)


def test_a_schema_is_read_with_its_kind_and_what_it_refers_to() -> None:
    with registry() as asked:
        assert asked.schema(7, FRAUD_TRANSACTION) == RegisteredSchema(_SCHEMA)
        assert asked.schema(8, FRAUD_TRANSACTION) == RegisteredSchema("{}", "JSON")
        assert asked.schema(9, FRAUD_TRANSACTION) == RegisteredSchema(_SCHEMA, references=("Money",))


def test_an_id_is_unknown_if_the_registry_says_so_and_knows_the_topics_subject() -> None:
    with registry() as asked:
        assert asked.schema(404, FRAUD_TRANSACTION) is None


def test_an_id_that_a_registry_without_the_topics_subject_doesnt_know_is_not_unknown() -> None:
    with (
        registry(subjects=UNKNOWN_SUBJECT) as asked,
        pytest.raises(SchemaRegistryError, match=f"nor subject '{SUBJECT}'"),
    ):
        asked.schema(404, FRAUD_TRANSACTION)


@pytest.mark.parametrize(
    "answer",
    [
        UNKNOWN_PATH,
        UNKNOWN_SUBJECT,
        (404, "text/html", PAGE),
        (404, JSON, "{}"),
        (404, JSON, "null"),
        (404, JSON, "[]"),
        (404, JSON, ""),
        (200, "text/html", PAGE),
        (200, JSON, "{}"),
        (200, JSON, "null"),
        (200, JSON, "[]"),
        (200, JSON, '"schema"'),
        (200, JSON, ""),
        (200, JSON, json.dumps({"schema": None})),
        (302, "text/html", PAGE),
        (401, "text/html", PAGE),
        (403, JSON, json.dumps({"error_code": 40301, "message": "no"})),
        (422, JSON, json.dumps({"error_code": 42201, "message": "no"})),
    ],
)
def test_whatever_else_is_answered_for_an_id_is_an_error_of_the_registry(answer: tuple[int, str, str]) -> None:
    with registry(ids=answer) as asked, pytest.raises(SchemaRegistryError, match="FRAUDSTREAM_SCHEMA_REGISTRY_URL"):
        asked.schema(7, FRAUD_TRANSACTION)


def test_a_mistyped_path_is_an_error_of_the_registry() -> None:
    with (
        registry(path="/apis/ccompat/v9") as asked,
        pytest.raises(SchemaRegistryError, match="FRAUDSTREAM_SCHEMA_REGISTRY_URL"),
    ):
        asked.schema(404, FRAUD_TRANSACTION)
