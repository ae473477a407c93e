"""The proxy's limit of writes to one object name, in front of a server that accepts all names but those in `taken`."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest

from tests.chaos.proxy import FaultyProxy
from tests.fakes.http import QuietHandler, serving


class _Store(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802
        self._answer(200)

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(412 if b"taken" in body else 200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def upstream() -> Iterator[int]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Store)) as url:
        yield urlsplit(url).port or 0


def upload(proxy: FaultyProxy, name: str, content: str = "x") -> int:
    """Uploads as Google's client does with small objects: JSON first, then the content, in one body."""
    parts = (
        f"--==\r\ncontent-type: application/json\r\n\r\n{json.dumps({'name': name, 'metadata': {}})}\r\n--==\r\n\r\n"
    )
    url = f"http://127.0.0.1:{proxy.port}/upload/storage/v1/b/lake/o?uploadType=multipart"
    return httpx.post(url, content=f"{parts}{content}\r\n--==--", timeout=30).status_code


def test_a_name_is_written_once_in_its_time_and_other_names_and_reads_are_not_limited(upstream: int) -> None:
    with FaultyProxy(upstream, 0, object_seconds=3600) as proxy:
        assert [upload(proxy, "_progress/a{b}.json") for _ in range(3)] == [200, 429, 429]
        assert upload(proxy, "another") == 200
        url = f"http://127.0.0.1:{proxy.port}"
        assert httpx.get(f"{url}/storage/v1/b/lake/o/another", timeout=30).status_code == 200
        resumable = f"{url}/upload/storage/v1/b/lake/o?uploadType=resumable&name=another"
        assert httpx.post(resumable, content="{}", timeout=30).status_code == 429
        assert proxy.written == {"_progress/a{b}.json": 1, "another": 1}
        assert proxy.refused == {"_progress/a{b}.json": 2, "another": 1}


def test_an_upload_that_the_store_refuses_does_not_count(upstream: int) -> None:
    with FaultyProxy(upstream, 0, object_seconds=3600) as proxy:
        assert [upload(proxy, "a", "taken"), upload(proxy, "a"), upload(proxy, "a")] == [412, 200, 429]


def test_without_a_limit_nothing_is_refused(upstream: int) -> None:
    with FaultyProxy(upstream, 0) as proxy:
        assert [upload(proxy, "a") for _ in range(3)] == [200] * 3
        assert not proxy.refused
