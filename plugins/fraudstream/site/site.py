"""The site behind the links in the mails: a page that changes nothing, and a button that records an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fraudstream.cases.answers.publisher import STATUS_OF, Place, Status
from fraudstream.cases.links.signed import Link, Links, is_proposal
from fraudstream.cases.views.case_views import Answer
from fraudstream.errors import AnswerUnknown, KafkaError, KafkaUnavailable, LinkError, LinkExpired
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import Settings
from fraudstream.site.buckets import Buckets, with_mapped
from fraudstream.site.error_pages import error_pages
from fraudstream.site.guard import Guard
from fraudstream.site.metrics import Metrics
from fraudstream.site.pages import Form, Pages

logger = logging.getLogger(__name__)

LONGEST_BODY = 4_096
BODY_SECONDS = 10.0
#: How long a page waits for its case: a customer may open a link before the view has read the case.
CASE_SECONDS = 2.0
#: How long the site waits until it has read back an answer that Kafka acknowledged.
READ_BACK_SECONDS = 5.0
CASE_REQUESTS_PER_MINUTE = 60


class Cases(Protocol):
    """The view of cases, as the site uses it."""

    def get(self, key: str) -> dict[str, Any] | None: ...
    def wait(self, key: str) -> Awaitable[dict[str, Any]]: ...


class Answers(Protocol):
    """The view of answers, as the site uses it."""

    @property
    def caught_up(self) -> bool: ...
    def get(self, key: str) -> Answer | None: ...
    def wait(self, key: str) -> Awaitable[Answer]: ...
    def reached(self, partition: int, offset: int) -> Awaitable[None]: ...


class Publisher(Protocol):
    """The publisher, as the site uses it."""

    def publish(self, status: Status, transaction: Mapping[str, Any], answered_at: datetime) -> Awaitable[Place]: ...


class _Anything(Convertor[str]):
    """Matches the rest of a path, with line breaks, which Starlette's own path convertor doesn't match."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


def create_app(
    settings: Settings,
    cases: Cases,
    answers: Answers,
    publisher: Publisher,
    links: Links,
    metrics: Metrics,
    opened: Callable[[str], None] = lambda case: None,
) -> ASGIApp:
    """Returns the site as an ASGI application: :class:`Desk` behind :class:`Guard`, with a page for each error.

    :param opened: called with each case whose page is shown; must return at once
    """
    pages = Pages(settings)
    desk = Desk(cases, answers, publisher, links, pages, metrics, opened)
    # Starlette without FastAPI, whose parsing of two parameters takes half as long as the rest of a page.
    app = Starlette(
        # a link that was damaged on its way may have any other path
        routes=[
            Route(path, endpoint, methods=methods)
            for path in ("/confirm/{token}/{proposal}", "/{damaged:anything}")
            for endpoint, methods in ((desk.show, ["GET", "HEAD"]), (desk.record, ["POST"]))
        ],
        exception_handlers=error_pages(pages, metrics),
    )
    app.router.redirect_slashes = False
    guarded: ASGIApp = Guard(
        app, pages=pages, metrics=metrics, requests_per_minute=settings.confirmation_requests_per_minute
    )
    if settings.confirmation_trusted_proxies:
        proxies = with_mapped(settings.confirmation_trusted_proxies)
        return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, guarded), proxies))
    return guarded


class Desk:
    """Shows cases and records answers."""

    def __init__(
        self,
        cases: Cases,
        answers: Answers,
        publisher: Publisher,
        links: Links,
        pages: Pages,
        metrics: Metrics,
        opened: Callable[[str], None],
    ) -> None:
        self._cases = cases
        self._answers = answers
        self._publisher = publisher
        self._links = links
        self._pages = pages
        self._metrics = metrics
        self._opened = opened
        self._rate = Buckets(CASE_REQUESTS_PER_MINUTE, 60)

    async def show(self, request: Request) -> Response:
        """Shows the case and its two answers, or the outcome. Opening the page changes no answer, however often."""
        link = self._link_of(request)
        answer = self._answer_of(link)
        if answer is None and self._links.is_answered(request.query_params.get("answered", ""), link.case):
            # the browser of a customer who has just answered may be sent to a process that hasn't read the answer yet
            answer = await self._read_back(link.case, self._answers.wait(link.case))
            if answer is None:
                return self._pages.plain(request, "received", 202)
        if answer is not None:
            return self._pages.recorded(request, answer)
        transaction = await self._transaction_of(link)
        if request.method == "GET":
            self._opened(link.case)
        return self._pages.case(request, transaction, link.proposal, self._form_of(link))

    async def record(self, request: Request) -> Response:
        """Records an answer, in this order:

        1. check the link's token, the form's origin as the browser reports it, and the form's fields;
        2. write nothing if the case has an answer;
        3. check that the form comes from the site's own page for this case;
        4. write the answer to the topic; only after Kafka has acknowledged it may a page say so;
        5. redirect the browser to the link, which shows the outcome: it may be another answer that came first, or a
           staff decision. A tab that is restored opens that address again, and posts nothing.
        """
        # 1
        link = self._link_of(request)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403)
        status, page_token = await _form(request)
        # 2
        if self._answer_of(link) is not None:
            self._metrics.answers.labels("late").inc()
            return _redirect(self._links.path(link))
        transaction = await self._transaction_of(link)
        # 3
        try:
            self._links.check_page_token(page_token, link.case)
        except LinkExpired:
            return self._pages.case_again(request, transaction, link.proposal, self._form_of(link))
        except LinkError as error:
            logger.info("form refused: %s", error)
            raise HTTPException(403) from None
        # 4
        try:
            place = await self._publisher.publish(status, transaction, datetime.now(UTC))
        except AnswerUnknown as error:
            self._metrics.answers.labels("unknown").inc()
            logger.warning("whether answer %s of case %s is recorded isn't known: %s", status, link.case, error)
            return self._pages.plain(request, "unknown", 503)
        except KafkaError as error:
            self._metrics.answers.labels("failed").inc()
            logger.warning("answer %s of case %s is not recorded: %s", status, link.case, error)
            return self._pages.plain(request, "not_recorded", 503)
        # 5
        in_force = await self._read_back(link.case, self._answers.reached(*place))
        if in_force is not None:
            ours = (in_force.partition, in_force.offset) == place
            self._metrics.answers.labels("first" if ours else "late").inc()
        return _redirect(self._links.answered_path(link))

    def _link_of(self, request: Request) -> Link:
        scope = request.scope
        # undecoded, since an encoded slash doesn't separate parts of the path
        link = self._links.find(
            f"{(scope.get('raw_path') or b'').decode('latin-1')}?{scope['query_string'].decode('latin-1')}"
        )
        if not self._rate.take(link.case):
            raise HTTPException(429)
        return link

    def _form_of(self, link: Link) -> Form:
        return Form(self._links.path(link), self._links.page_token(link.case))

    def _answer_of(self, link: Link) -> Answer | None:
        if not self._answers.caught_up:
            raise KafkaUnavailable(f"topic {FRAUD_CONFIRMATION} isn't read yet up to its end at the site's start")
        return self._answers.get(link.case)

    async def _transaction_of(self, link: Link) -> Mapping[str, Any]:
        """Returns the transaction of a case without an answer.

        :raises LinkExpired: the time to answer is over
        :raises KafkaUnavailable: the view doesn't have the case within :data:`CASE_SECONDS`
        """
        case = link.case
        if link.expired:
            raise LinkExpired(f"the link of case {case} is expired, and no answer of the case is known")
        found = self._cases.get(case)
        if found is None:
            try:
                found = await asyncio.wait_for(self._cases.wait(case), CASE_SECONDS)
            except TimeoutError:
                raise KafkaUnavailable(f"case {case} isn't in the view of topic {FRAUD_TRANSACTION} yet") from None
        return found

    async def _read_back(self, case: str, reading: Awaitable[Any]) -> Answer | None:
        """Returns the case's answer once `reading` has ended; None if that fails or takes too long."""
        try:
            async with asyncio.timeout(READ_BACK_SECONDS):  # wait_for() would create a task
                await reading
            return self._answers.get(case)
        except (TimeoutError, KafkaError) as error:
            logger.warning("case %s: its answer isn't read back yet: %s", case, error)
            return None


def _redirect(path: str) -> Response:
    """Sends the browser to a page with a GET."""
    return Response(status_code=303, headers={"Location": path})


async def _form(request: Request) -> tuple[Status, str]:
    """Returns status and page token of a form, which must have the fields `answer` and `page` once each, and no others.

    :raises HTTPException: 413 if the form is too large, 408 if it takes too long, 415 if the body isn't a form, 400 if
        its fields are wrong or the client disconnects
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
