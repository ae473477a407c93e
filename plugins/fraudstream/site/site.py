"""The site behind the links in the mails: a page that changes nothing, and a button that records an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fraudstream.cases.answer_publisher import STATUS_OF, Place, Status
from fraudstream.cases.case_views import Answer
from fraudstream.cases.links import Links, Proposal, is_proposal, shown
from fraudstream.errors import KafkaError, KafkaUnavailable, LinkError, LinkExpired
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import Settings
from fraudstream.site.buckets import Buckets
from fraudstream.site.guard import Guard
from fraudstream.site.metrics import Metrics
from fraudstream.site.pages import Pages, Plain

logger = logging.getLogger(__name__)

LONGEST_BODY = 4_096
BODY_SECONDS = 10.0
#: A mail may be faster than the view of the case that it is about.
CASE_SECONDS = 2.0
#: How long reading an answer back may take after Kafka has it.
READ_BACK_SECONDS = 5.0
CASE_REQUESTS_PER_MINUTE = 60


class Cases(Protocol):
    """What the site asks of the view of cases."""

    def get(self, key: str) -> dict[str, Any] | None: ...
    def wait(self, key: str) -> Awaitable[dict[str, Any]]: ...


class Answers(Protocol):
    """What the site asks of the view of answers."""

    @property
    def caught_up(self) -> bool: ...
    def get(self, key: str) -> Answer | None: ...
    def reached(self, partition: int, offset: int) -> Awaitable[None]: ...


class Publisher(Protocol):
    """What the site asks of the publisher."""

    def publish(self, status: Status, transaction: Mapping[str, Any], answered_at: datetime) -> Awaitable[Place]: ...


#: Page for each status that refuses a request; any other is `refused`.
REFUSALS: dict[int, Plain] = {404: "invalid", 413: "too_large", 429: "too_many"}


def create_app(
    settings: Settings, cases: Cases, answers: Answers, publisher: Publisher, links: Links, metrics: Metrics
) -> ASGIApp:
    """The site as an ASGI application: :class:`Desk` behind :class:`Guard`, refusals as pages."""
    pages = Pages(settings)
    desk = Desk(cases, answers, publisher, links, pages, metrics)
    # Starlette alone: FastAPI's reading of two parameters takes half as long as all the rest of a page.
    app = Starlette(
        routes=[
            Route("/confirm/{token}/{proposal}", desk.show, methods=["GET", "HEAD"]),
            Route("/confirm/{token}/{proposal}", desk.record, methods=["POST"]),
        ],
        exception_handlers=_error_pages(pages, metrics),
    )
    app.router.redirect_slashes = False
    guarded: ASGIApp = Guard(
        app, pages=pages, metrics=metrics, requests_per_minute=settings.confirmation_requests_per_minute
    )
    if settings.confirmation_trusted_proxies:
        return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, guarded), settings.confirmation_trusted_proxies))
    return guarded


class Desk:
    """Shows cases and records answers."""

    def __init__(
        self, cases: Cases, answers: Answers, publisher: Publisher, links: Links, pages: Pages, metrics: Metrics
    ) -> None:
        self._cases = cases
        self._answers = answers
        self._publisher = publisher
        self._links = links
        self._pages = pages
        self._metrics = metrics
        self._rate = Buckets(CASE_REQUESTS_PER_MINUTE, 60)

    async def show(self, request: Request) -> Response:
        """The case and its two answers, or what was recorded. Changes nothing, whoever opens it how often."""
        case, proposed = self._case_of(**request.path_params)
        transaction = await self._transaction_of(case)
        recorded = self._answers.get(case)
        if recorded is not None:
            return self._pages.recorded(request, recorded)
        return self._pages.case(request, transaction, proposed, self._links.page_token(case))

    async def record(self, request: Request) -> Response:
        """Records an answer, in this order:

        1. the link's token, where the browser says that the form comes from, and its fields must be right;
        2. a case that has an answer shows it, and nothing is written;
        3. the form must come from a page of ours for this case;
        4. the answer goes to the topic; only when Kafka confirmed it may the page say so;
        5. the page shows the first answer in log order, read back from the topic: it may be somebody else's.
        """
        # 1
        case, proposed = self._case_of(**request.path_params)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403)
        status, page_token = await _form(request)
        # 2
        transaction = await self._transaction_of(case)
        recorded = self._answers.get(case)
        if recorded is not None:
            self._metrics.answers.labels("late").inc()
            return self._pages.recorded(request, recorded)
        # 3
        try:
            self._links.check_page_token(page_token, case)
        except LinkExpired:
            return self._pages.case_again(request, transaction, proposed, self._links.page_token(case))
        except LinkError as error:
            logger.info("form refused: %s", error)
            raise HTTPException(403) from None
        # 4
        try:
            place = await self._publisher.publish(status, transaction, datetime.now(UTC))
        except KafkaError as error:
            self._metrics.answers.labels("failed").inc()
            logger.warning("answer %s of case %s is not recorded: %s", status, case, error)
            return self._pages.plain(request, "not_recorded", 503)
        # 5
        first = await self._first_answer(case, place)
        if first is None:
            return self._pages.plain(request, "received", 202)
        self._metrics.answers.labels("first" if (first.partition, first.offset) == place else "late").inc()
        return self._pages.recorded(request, first)

    def _case_of(self, token: str, proposal: str) -> tuple[str, Proposal]:
        case = self._links.read(token)
        if not is_proposal(proposal):
            raise LinkError(f"link {shown(token)} proposes no answer that there is")
        if not self._rate.take(case):
            raise HTTPException(429)
        return case, proposal

    async def _transaction_of(self, case: str) -> Mapping[str, Any]:
        found = self._cases.get(case)
        if found is None:
            try:
                found = await asyncio.wait_for(self._cases.wait(case), CASE_SECONDS)
            except TimeoutError:
                raise KafkaUnavailable(f"case {case} isn't in the view of topic {FRAUD_TRANSACTION} yet") from None
        if not self._answers.caught_up:
            raise KafkaUnavailable(f"topic {FRAUD_CONFIRMATION} isn't read up to where it was at the start yet")
        return found

    async def _first_answer(self, case: str, place: Place) -> Answer | None:
        """The case's answer once the record at `place` is read back; None when that takes too long."""
        try:
            async with asyncio.timeout(READ_BACK_SECONDS):  # wait_for would make a task of it
                await self._answers.reached(*place)
            return self._answers.get(case)
        except (TimeoutError, KafkaError) as error:
            logger.warning("case %s: its answer at %d@%d isn't read back yet: %s", case, *place, error)
            return None


def _error_pages(pages: Pages, metrics: Metrics) -> dict[Any, ExceptionHandler]:
    """A page for each error; the detail goes to the log."""

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
        page = pages.plain(request, REFUSALS.get(error.status_code, "refused"), error.status_code)
        page.headers.update(error.headers or {})
        return page

    async def broken(request: Request, _: Exception) -> Response:
        return pages.plain(request, "broken", 500)

    return {LinkError: link, KafkaError: kafka, HTTPException: refused, Exception: broken}


async def _form(request: Request) -> tuple[Status, str]:
    """Status and page token of a form that our page sent: these two fields, each once, nothing else.

    :raises HTTPException: 413 it is too large, 408 too slow, 415 no form, 400 other fields than ours
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=2, errors="strict")
    except ValueError:
        raise HTTPException(400) from None
    values = dict(fields)
    answer = values.get("answer", "")
    if sorted(name for name, _ in fields) != ["answer", "page"] or not is_proposal(answer):
        raise HTTPException(400)
    return STATUS_OF[answer], values["page"]
