"""How the site's applications are served: one uvicorn server each, several of them in a process."""

from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

#: Longer than an answer may take to be confirmed: who pressed the button hears what came of it.
GRACE_SECONDS = 15
MOST_CONNECTIONS = 1_000


class Server(uvicorn.Server):
    """One of several servers in a process: signals are for the process to handle, which sets `should_exit`."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves them alone."""
        yield


def server(app: ASGIApp) -> Server:
    """A server for one application; ``serve(sockets=[...])`` runs it in the event loop that is there."""
    return Server(
        uvicorn.Config(
            app,
            access_log=False,  # it would log tokens
            log_config=None,
            server_header=False,
            proxy_headers=False,  # the app itself trusts the configured ones, and no others
            lifespan="off",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
