"""The proxy applies its faults to the requests that they are for, and to no others."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.chaos.proxy import FaultyProxy, HttpFault

UPLOAD = b'{"name": "_progress/transaction/non_fraud_transaction-1.json"} {"end": 5}'


@pytest.fixture
def upstream() -> Iterator[tuple[int, list[bytes]]]:
    """A server that stores what is posted to it."""
    done: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"got")

        def do_POST(self) -> None:
            done.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"done")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, done
        server.shutdown()
        thread.join()


@contextmanager
def client_of(proxy: FaultyProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=10) as client:
        yield client


def test_a_held_write_of_progress_is_never_done_while_all_else_is(upstream: tuple[int, list[bytes]]) -> None:
    port, done = upstream
    with FaultyProxy(port, 1) as proxy, client_of(proxy) as client:
        ended = threading.Event()
        failed: list[Exception] = []

        def move() -> None:
            try:
                client.post("/upload", content=UPLOAD)
            except httpx.TransportError as error:
                failed.append(error)
            ended.set()

        with proxy.fault(HttpFault.HELD_PROGRESS, 1.0):
            mover = threading.Thread(target=move)
            mover.start()
            while not proxy.held:
                assert not ended.wait(0.01), "it wasn't held"
            assert client.post("/upload", content=b'{"name": "transaction/dt=2026-11-27/x.json.gz"}').text == "done"
            assert client.get("/o/_progress%2Ftransaction%2Fnon_fraud_transaction-1.json").text == "got"
            assert not ended.is_set()
        mover.join(10)
        assert len(failed) == 1
        assert proxy.held == ["_progress/transaction/non_fraud_transaction-1.json"]
        assert proxy.hits == {HttpFault.HELD_PROGRESS: 1}
        assert client.post("/upload", content=UPLOAD).text == "done"
    assert done == [b'{"name": "transaction/dt=2026-11-27/x.json.gz"}', UPLOAD]


def test_a_registry_that_answers_404_is_one_that_knows_no_path(upstream: tuple[int, list[bytes]]) -> None:
    with FaultyProxy(upstream[0], 1) as proxy, client_of(proxy) as client:
        with proxy.fault(HttpFault.NOT_FOUND, 1.0):
            answer = client.get("/schemas/ids/1")
        assert (answer.status_code, answer.content) == (404, b"")
        assert client.get("/schemas/ids/1").text == "got"


def test_without_a_server_behind_it_a_request_fails_and_the_proxy_goes_on() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with FaultyProxy(free.getsockname()[1], 1) as proxy, client_of(proxy) as client:
            for _ in range(2):
                with pytest.raises(httpx.TransportError):
                    client.get("/")
