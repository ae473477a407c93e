"""Applies to every request to the site: rate limit, response headers, log and metrics."""

import logging
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudstream.site.buckets import Buckets, client_key
from fraudstream.site.metrics import Metrics
from fraudstream.site.pages import Pages

logger = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST"}
#: Requests with this status or a higher one are logged at level INFO, others at DEBUG.
REFUSED = 400


class Guard:
    """ASGI middleware around the whole site, its error pages included.

    The log has the route's template, never the path, which contains a token. Successful requests are only counted: log
    lines would store customers' addresses without need, and take a fifth of the time of a page.
    """

    def __init__(self, app: ASGIApp, *, pages: Pages, metrics: Metrics, requests_per_minute: int) -> None:
        self._app = app
        self._pages = pages
        self._metrics = metrics
        self._clients = Buckets(requests_per_minute, 60)
        self._ours = frozenset(name for name, _ in pages.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request; refuses it before reading it if its client has sent too many."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                theirs = [header for header in message.get("headers", []) if header[0].lower() not in self._ours]
                message["headers"] = theirs + self._pages.headers
            await send(message)

        client = scope["client"][0] if scope.get("client") else "unknown"
        refusal = self._refusal(scope, client)
        try:
            await (refusal or self._app)(scope, receive, send_guarded)
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(seconds)
            level = logging.DEBUG if status < REFUSED else logging.INFO
            logger.log(level, "%s %s %d %.1f ms from %s", method, route, status, seconds * 1000, client)

    def _refusal(self, scope: Scope, client: str) -> Response | None:
        if not self._clients.take(client_key(client)):
            return self._pages.plain(Request(scope), "too_many", 429)
        return None
