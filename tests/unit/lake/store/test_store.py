import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import JSON
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.store.store_behaviour import StoreBehaviour

NAME = "transaction/a"


# Not in the common behaviour, because fake-gcs-server deletes an object with any generation.
def test_deleting_needs_the_generation_that_is_there():
    memory = MemoryStore()
    old = memory.replace(NAME, b"", 0, content_type=JSON)
    new = memory.replace(NAME, b"", old.generation, content_type=JSON)
    assert not memory.delete(NAME, old.generation)
    assert memory.delete(NAME, new.generation)
    store, http = store_with([412, lambda body: (204, {})])
    assert not store.delete(NAME, 4)
    assert store.delete(NAME, 4)
    assert all(method == "DELETE" and "ifGenerationMatch=4" in url for method, url, _ in http.sent)


class TestMemoryStore(StoreBehaviour):
    @pytest.fixture
    def store(self):
        return MemoryStore()

    @pytest.fixture
    def folder(self):
        return "folder"


class ScriptedHttp(requests.Session):
    """Answers each request with the next entry of a script: a status, an exception, or a function of the request."""

    is_mtls = False

    def __init__(self, script: list[Any]) -> None:
        super().__init__()
        self.script = script
        self.sent: list[tuple[str, str, bytes]] = []

    def request(self, method: str, url: str, data: Any = None, **_: Any) -> requests.Response:  # type: ignore[override]
        body = data if isinstance(data, bytes) else (data or "").encode()
        # The client library looks the bucket up in its own thread for tracing; scripts don't contain this request.
        of_bucket = urlsplit(url).path.endswith("/b/lake")
        if not of_bucket:
            self.sent.append((method, url, body))
        step = 404 if of_bucket else self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        status, document = step(body) if callable(step) else (step, {"error": {"message": "scripted"}})
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps(document).encode()
        response.headers["Content-Type"] = "application/json"
        response.request = requests.Request(method, url).prepare()
        return response


def stored(body: bytes) -> tuple[int, dict[str, Any]]:
    """The response to an upload: the resource, with the metadata of the multipart body."""
    metadata = json.loads(body.split(b"\r\n\r\n", 1)[1].split(b"\r\n", 1)[0])["metadata"]
    resource = {"name": NAME, "size": "1", "generation": "5", "updated": "2023-10-07T00:00:00Z", "metadata": metadata}
    return 200, resource | {"crc32c": "", "bucket": "lake"}


def store_with(script: list[Any], patience: float = 30.0) -> tuple[Store, ScriptedHttp]:
    http = ScriptedHttp(script)
    client = storage.Client("project", AnonymousCredentials(), _http=http)
    return Store(client, "lake", patience=patience), http


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def create(store: Store) -> Any:
    return store.create(NAME, b"x", content_type=JSON, metadata={"end": "7"})


def not_renewed(cause: Exception | None = None, **said: Any) -> auth.RefreshError:
    """The error as google-auth raises it."""
    error = auth.RefreshError("no token", **said)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "fault",
    [
        *(408, 409, 429, 500, 502, 503, 504, 507),
        requests.ConnectionError("reset"),
        requests.Timeout("slow"),
        auth.TransportError("no token server"),
        not_renewed(auth.TransportError("the metadata server is away")),
        not_renewed(retryable=True),
    ],
)
def test_a_fault_that_may_pass_is_tried_again(fault):
    store, http = store_with([fault, fault, 404])
    assert store.get(NAME) is None
    assert len(http.sent) == 3


def test_a_write_that_arrived_but_whose_answer_was_lost_is_recognised():
    written: dict[str, Any] = {}

    def write_and_hang_up(body: bytes) -> tuple[int, dict[str, Any]]:
        written.update(stored(body)[1])
        raise requests.ConnectionError("gone before the answer")

    for write in (create, lambda store: store.replace(NAME, b"x", 4, content_type=JSON)):
        store, http = store_with([write_and_hang_up, 412, lambda body: (200, written)])
        result = write(store)
        info = result.info if hasattr(result, "info") else result
        assert info.generation == 5
        assert getattr(result, "ours", True)
        assert [method for method, _, _ in http.sent] == ["POST", "POST", "GET"]


def test_a_write_of_somebody_else_isnt_taken_for_ones_own():
    other = {"name": NAME, "size": "1", "generation": "9", "updated": "2023-10-07T00:00:00Z", "metadata": {"end": "3"}}
    store, _ = store_with([503, 412, lambda body: (200, other), lambda body: (200, other)])
    created = create(store)
    assert not created.ours
    assert created.info.metadata == {"end": "3"}
    store, _ = store_with([412, lambda body: (200, other)])
    assert store.replace(NAME, b"x", 4, content_type=JSON) is None


def test_a_name_that_is_free_again_by_the_time_one_looks_is_written():
    store, http = store_with([412, 404, 404, stored])
    assert create(store).ours
    assert len(http.sent) == 4


def test_a_store_that_stays_down_is_named_with_what_it_said(monkeypatch):
    store, _ = store_with([503] * 1000, patience=0.0)
    with pytest.raises(LakeUnavailable, match=rf"could not write gs://lake/{NAME} within 0 s.*503") as caught:
        create(store)
    assert caught.value.retryable


def test_a_missing_bucket_is_named_with_the_setting():
    store, _ = store_with([404])
    with pytest.raises(LakeError, match=r"bucket lake does not exist.*FRAUDSTREAM_LAKE_BUCKET"):
        create(store)


@pytest.mark.parametrize("status", [401, 403, not_renewed(), not_renewed(ValueError("invalid_grant"))])
def test_refused_credentials_are_named_with_the_role_they_need(status):
    store, _ = store_with([status])
    with pytest.raises(LakeError, match=r"roles/storage\.objectUser") as caught:
        store.list("transaction/")
    assert not caught.value.retryable


@pytest.mark.parametrize("call", [lambda store: store.delete(NAME, 5), create])
def test_a_retention_policy_is_named_and_no_right_blamed_for_it(call):
    message = "Object is subject to bucket's retention policy and cannot be deleted or overwritten until 2026-12-01"
    refusal = {"error": {"message": message, "errors": [{"reason": "retentionPolicyNotMet", "message": message}]}}
    store, _ = store_with([lambda body: (403, refusal)])
    with pytest.raises(LakeError, match=r"bucket lake has a retention policy.*--clear-retention-period") as caught:
        call(store)
    assert "roles/" not in str(caught.value)
    assert not caught.value.retryable


def test_any_other_answer_is_an_error_of_the_lake():
    store, _ = store_with([400])
    with pytest.raises(LakeError, match="400"):
        create(store)
