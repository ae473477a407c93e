"""HTTP servers for tests, on real sockets."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """A request handler that doesn't log."""

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer, certificate: ssl.SSLContext | None = None) -> Iterator[str]:
    """Runs a server during the context, with TLS if there is a certificate; yields its address."""
    if certificate is not None:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
