"""Downloads over real sockets: the requests, the retries, and the error messages."""

import base64
import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import pytest
from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.store import downloads
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import ObjectInfo
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.fakes import certificates
from tests.fakes.http import QuietHandler, serving

INFO = ObjectInfo.named("transaction/dt=2023-10-07/a b", 7, 4)


class Answer(NamedTuple):
    """A response of the store, with the checksum of `said` if that differs from the body; and its faults."""

    body: bytes
    status: int = 200
    said: bytes | None = None
    missing: int = 0
    seconds: float = 0
    closes: bool = False


class Bucket(ThreadingHTTPServer):
    """Answers each request with the next of `answers`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.answers: list[Answer] = []
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.connections: set[object] = set()
        #: Called before it keeps a client waiting.
        self.on_slow: Callable[[], object] = lambda: None


class _Request(QuietHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        if "/download/" not in self.path:  # the client library asks for the bucket's metadata, in a thread of its own
            self.send_error(404)
            return
        self.server.sent.append((self.path, dict(self.headers)))
        self.server.connections.add(self.client_address)
        answer = self.server.answers.pop(0)
        if answer.seconds:
            self.server.on_slow()
            time.sleep(answer.seconds)
        crc = google_crc32c.value(answer.body if answer.said is None else answer.said).to_bytes(4, "big")
        self.send_response(answer.status)
        self.send_header("X-Goog-Hash", f"crc32c={base64.b64encode(crc).decode()},md5=x==")
        self.send_header("Content-Length", str(len(answer.body) + answer.missing))
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.closes or answer.missing:  # without announcing it
            self.close_connection = True


class Token(AnonymousCredentials):  # type: ignore[misc]
    """Credentials whose token the store must receive."""

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        headers["authorization"] = f"Bearer secret for {method} {url}"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name in ("http_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return Bucket()


@pytest.fixture
def store(bucket: Bucket) -> Iterator[Store]:
    with serving(bucket) as url:
        yield store_at(url)


def store_at(url: str, patience: float = 60.0) -> Store:
    return Store(storage.Client("project", Token(), client_options={"api_endpoint": url}), "lake", patience=patience)


def test_exactly_the_generation_is_asked_for_with_the_clients_credentials(store, bucket):
    bucket.answers = [Answer(b"data")]
    assert store.download(INFO) == b"data"
    ((path, headers),) = bucket.sent
    expected = "/download/storage/v1/b/lake/o/transaction%2Fdt%3D2023-10-07%2Fa%20b?alt=media&generation=7"
    assert path == expected
    assert headers["authorization"] == f"Bearer secret for GET http://127.0.0.1:{bucket.server_port}{expected}"
    assert headers["Accept-Encoding"] == "gzip"
    assert "Range" not in headers


def test_a_part_is_asked_for_by_its_first_and_last_byte(store, bucket):
    bucket.answers = [Answer(b"at", 206, said=b"data"), Answer(b"ta", 206, said=b"data")]
    assert (store.download(INFO, 1, 3), store.download(INFO, 2)) == (b"at", b"ta")
    assert [headers["Range"] for _, headers in bucket.sent] == ["bytes=1-2", "bytes=2-3"]


def test_a_connection_is_used_again(store, bucket):
    bucket.answers = [Answer(b"data"), Answer(b"", 404), Answer(b"data")]
    assert [store.download(INFO) for _ in range(3)] == [b"data", None, b"data"]
    assert len(bucket.connections) == 1


def test_a_connection_that_was_closed_while_it_was_idle_is_replaced_without_a_pause(store, bucket, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("paused") if seconds else None)
    bucket.answers = [Answer(b"data", closes=True), Answer(b"data")]
    assert [store.download(INFO) for _ in range(2)] == [b"data", b"data"]
    assert len(bucket.connections) == 2


@pytest.fixture
def proxied(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that is reached through a proxy only: its name is unknown, and `bucket` is the proxy."""
    with serving(bucket) as url:
        monkeypatch.setenv("http_proxy", url)
        yield store_at("http://store.invalid", patience=0.5)


def test_downloads_use_the_proxy_of_the_environment(proxied, bucket):
    bucket.answers = [Answer(b"data"), Answer(b"at", 206, said=b"data"), Answer(b"", 404)]
    assert (proxied.download(INFO), proxied.download(INFO, 1, 3), proxied.download(INFO)) == (b"data", b"at", None)
    assert all(path.startswith("http://store.invalid/download/storage/v1/b/lake/o/") for path, _ in bucket.sent)
    assert all("generation=7" in path for path, _ in bucket.sent)
    assert [headers.get("range") for _, headers in bucket.sent] == [None, "bytes=1-2", None]


def test_damaged_content_is_fetched_again_through_a_proxy(proxied, bucket):
    bucket.answers = [Answer(b"dada", said=b"data"), Answer(b"data")]
    assert proxied.download(INFO) == b"data"


def test_downloads_trust_the_authorities_of_the_environment(bucket, tmp_path, monkeypatch):
    certificate = certificates.untrusted(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    bucket.answers = [Answer(b"data")]
    with serving(bucket, certificate) as url:
        assert store_at(url, patience=0.5).download(INFO) == b"data"


def test_many_threads_get_what_they_asked_for(store, bucket):
    bucket.answers = [Answer(b"data", closes=number % 5 == 0) for number in range(400)]
    found: list[bytes | None] = []
    threads = [threading.Thread(target=lambda: found.extend(store.download(INFO) for _ in range(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"data"] * 400
    assert not bucket.answers


def test_what_is_gone_is_none(store, bucket):
    bucket.answers = [Answer(b"No such object", 404)]
    assert store.download(INFO) is None


@pytest.mark.parametrize(
    "fault",
    [
        Answer(b"", 429),
        Answer(b"", 503),
        Answer(b"dada", said=b"data"),
        Answer(b"da", said=b"data", missing=2),
        Answer(b"data", seconds=0.3),
    ],
    ids=["429", "503", "damaged", "cut off", "slow"],
)
def test_a_fault_that_may_pass_and_damaged_content_are_tried_again(store, bucket, monkeypatch, fault):
    if fault.seconds:  # for the first answer only: the second one may take its time on a busy machine
        monkeypatch.setattr(downloads, "_READ_SECONDS", 0.1)
        bucket.on_slow = lambda: monkeypatch.setattr(downloads, "_READ_SECONDS", 30.0)
    bucket.answers = [fault, Answer(b"data")]
    assert store.download(INFO) == b"data"
    assert len(bucket.sent) == 2


def test_a_store_that_stays_down_is_named(store, bucket, monkeypatch):
    bucket.answers = [Answer(b"", 503)] * 1000
    monkeypatch.setattr(store, "_retry", store._retry.with_timeout(0.0))
    with pytest.raises(LakeUnavailable, match="could not read gs://lake/transaction/dt=2023-10-07/a b"):
        store.download(INFO)


def test_a_store_that_isnt_there_is_named_with_its_address():
    with serving(Bucket()) as url:
        store = store_at(url, patience=0.5)
    with pytest.raises(LakeUnavailable, match=rf"refused.*{re.escape(url)} is down"):
        store.download(INFO)


def test_a_store_with_a_certificate_that_nobody_signed_gets_no_token(tmp_path: Path):
    server, certificate = Bucket(), certificates.untrusted(tmp_path)
    with serving(server, certificate) as url, pytest.raises(LakeUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        store_at(url, patience=0.5).download(INFO)
    assert not server.sent


def test_refused_credentials_are_named_with_the_role_they_need(store, bucket):
    bucket.answers = [Answer(b"no", http.client.FORBIDDEN)]
    with pytest.raises(LakeError, match=r"roles/storage\.objectUser"):
        store.download(INFO)
