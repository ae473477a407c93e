import base64
from typing import Any

import google_crc32c
import pytest
import urllib3
from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.objects import ObjectInfo
from fraudstream.lake.store import Store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

INFO = ObjectInfo.named("transaction/dt=2023-10-07/a b", 7, 4)


def answer(body: bytes, status: int = 200, said: bytes | None = None) -> urllib3.HTTPResponse:
    """With the checksum of `said`, which is the body's if it isn't given."""
    crc = base64.b64encode(google_crc32c.value(body if said is None else said).to_bytes(4, "big")).decode()
    return urllib3.HTTPResponse(body, {"X-Goog-Hash": f"crc32c={crc},md5=x=="}, status=status)


class Answers:
    """Stands for urllib3's pools: answers each request with the next of these, or raises it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.left = list(answers)
        self.sent: list[tuple[str, str, dict[str, str]]] = []

        def urlopen(_: Any, method: str, url: str, **options: Any) -> Any:
            self.sent.append((method, url, dict(options["headers"])))
            found = self.left.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setattr(urllib3.PoolManager, "urlopen", urlopen)


class Token(AnonymousCredentials):  # type: ignore[misc]
    """Credentials whose token the store has to see."""

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        headers["authorization"] = "Bearer secret"


@pytest.fixture
def store() -> Store:
    return Store(storage.Client("project", Token()), "lake", patience=0.5)


def test_exactly_the_generation_is_asked_for_with_the_clients_credentials(store, monkeypatch):
    answers = Answers(monkeypatch, answer(b"data"))
    assert store.download(INFO) == b"data"
    ((method, url, headers),) = answers.sent
    assert (method, url) == (
        "GET",
        "https://storage.googleapis.com/download/storage/v1/b/lake/o/"
        "transaction%2Fdt%3D2023-10-07%2Fa%20b?alt=media&generation=7",
    )
    assert headers["authorization"] == "Bearer secret"
    assert "Range" not in headers


def test_a_part_is_asked_for_by_its_first_and_last_byte(store, monkeypatch):
    answers = Answers(monkeypatch, answer(b"at", 206, said=b"data"), answer(b"ta", 206, said=b"data"))
    assert (store.download(INFO, 1, 3), store.download(INFO, 2)) == (b"at", b"ta")
    assert [headers["Range"] for _, _, headers in answers.sent] == ["bytes=1-2", "bytes=2-3"]


def test_what_is_gone_is_none(store, monkeypatch):
    Answers(monkeypatch, answer(b"No such object", 404))
    assert store.download(INFO) is None


@pytest.mark.parametrize(
    "fault",
    [
        answer(b"", 429),
        answer(b"", 503),
        answer(b"dada", said=b"data"),
        urllib3.exceptions.ProtocolError("reset"),
        urllib3.exceptions.ReadTimeoutError(None, "url", "slow"),  # type: ignore[arg-type]
    ],
)
def test_a_fault_that_may_pass_and_damaged_content_are_tried_again(store, monkeypatch, fault):
    answers = Answers(monkeypatch, fault, answer(b"data"))
    assert store.download(INFO) == b"data"
    assert len(answers.sent) == 2


def test_a_store_that_stays_down_is_named(store, monkeypatch):
    Answers(monkeypatch, *[answer(b"", 503)] * 1000)
    monkeypatch.setattr(store, "_retry", store._retry.with_timeout(0.0))
    with pytest.raises(LakeUnavailable, match="could not read gs://lake/transaction/dt=2023-10-07/a b"):
        store.download(INFO)


def test_refused_credentials_are_named_with_the_role_they_need(store, monkeypatch):
    Answers(monkeypatch, answer(b"no", 403))
    with pytest.raises(LakeError, match=r"roles/storage\.objectUser"):
        store.download(INFO)
