"""The page for each error of the site; the detail goes to the log."""

import logging
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from fraudstream.errors import KafkaError, LinkError, LinkExpired
from fraudstream.site.metrics import Metrics
from fraudstream.site.pages import Pages, Plain

logger = logging.getLogger(__name__)

#: Page for each status that refuses a request; any other is `refused`.
_REFUSALS: dict[int, Plain] = {404: "invalid", 413: "too_large", 429: "too_many"}


def error_pages(pages: Pages, metrics: Metrics) -> dict[Any, ExceptionHandler]:
    """Returns Starlette's exception handlers by class of error."""

    async def link(request: Request, error: Exception) -> Response:
        expired = isinstance(error, LinkExpired)
        metrics.refused.labels("expired" if expired else "invalid").inc()
        logger.info("link refused: %s", error)
        return pages.plain(request, "expired", 410) if expired else pages.plain(request, "invalid", 404)

    async def kafka(request: Request, error: Exception) -> Response:
        logger.warning("answered 503: %s", error)
        return pages.plain(request, "not_ready", 503)

    async def refused(request: Request, raised: Exception) -> Response:
        error = cast(HTTPException, raised)
        page = pages.plain(request, _REFUSALS.get(error.status_code, "refused"), error.status_code)
        page.headers.update(error.headers or {})
        return page

    async def broken(request: Request, _: Exception) -> Response:
        return pages.plain(request, "broken", 500)

    return {LinkError: link, KafkaError: kafka, HTTPException: refused, Exception: broken}
