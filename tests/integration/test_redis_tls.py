"""Celery's broker URL on a worker's VM works with a Redis like Memorystore: TLS, a certificate without host name.

The Redis is real (Valkey from PyPI, which is built without TLS), behind a TLS terminator of this test.
"""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import kombu
import pytest
from fraudstream.settings import ROOT

from local.stack.celery import redis_server
from tests.fakes.certificates import without_host_name
from tests.unit.deploy.container_files import boot_module

pytestmark = pytest.mark.integration
_PASSWORD = "redis-password"


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class _Terminator:
    """Accepts TLS connections on its own port and forwards them to a Unix socket."""

    def __init__(self, target: Path, context: ssl.SSLContext) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(str(self._target))
        try:
            await asyncio.gather(_relay(reader, back_writer), _relay(back_reader, writer))
        finally:
            for open_writer in (writer, back_writer):
                open_writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port of a Redis that only accepts TLS, and the file with the certificate to trust."""
    context, certificate = without_host_name(tmp_path)
    socket = tmp_path / "redis.sock"
    options = {"port": "0", "unixsocket": str(socket), "requirepass": _PASSWORD, "dir": str(tmp_path), "save": ""}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with subprocess.Popen([redis_server(), *words], stdout=subprocess.DEVNULL) as server:
        terminator = _Terminator(socket, context)
        try:
            yield terminator.port, certificate
        finally:
            terminator.close()
            server.terminate()


def _connect(port: int, certificate: Path, *, without: str = "") -> None:
    """Connects as Celery does, with the URL that boot.py makes from the template."""
    boot = boot_module(ROOT)
    template = (ROOT / "docker/vm/templates/task/celery_broker_url").read_text().strip()
    assert without in template
    values = {"redis_password": _PASSWORD, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}
    url = boot.fill(template.replace(without, ""), values, "celery_broker_url")
    with kombu.Connection(url.replace("/run/secrets/redis_ca.pem", str(certificate))) as connection:
        connection.ensure_connection(max_retries=5, interval_start=0.2, interval_step=0.2, timeout=10)


def test_a_certificate_that_names_no_host_is_taken_if_the_pinned_authority_signed_it(redis: tuple[int, Path]) -> None:
    _connect(*redis)


def test_the_check_of_the_host_name_is_what_would_refuse_it(redis: tuple[int, Path]) -> None:
    with pytest.raises(kombu.exceptions.OperationalError, match="certificate verify failed"):
        _connect(*redis, without="&ssl_check_hostname=false")


def test_another_authority_is_refused(redis: tuple[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    _, other = without_host_name(folder)
    with pytest.raises(kombu.exceptions.OperationalError, match="certificate verify failed"):
        _connect(redis[0], other)
