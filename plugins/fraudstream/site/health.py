"""The site's health and figures, on an address of their own that customers don't reach."""

from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fraudstream.errors import KafkaError
from fraudstream.site.metrics import Metrics


class View(Protocol):
    """What health asks of a view."""

    @property
    def alive(self) -> bool: ...
    @property
    def caught_up(self) -> bool: ...
    def __len__(self) -> int: ...


class Broker(Protocol):
    """What health asks of the publisher."""

    async def check(self) -> None: ...


def create_health(cases: View, answers: View, publisher: Broker, metrics: Metrics) -> Starlette:
    """``/health/live``, ``/health/ready`` and ``/metrics``.

    Live: both views follow their topics; if not, only a restart helps. Ready: both are caught up and the brokers
    answer now; if not, customers get a page that asks them to come back.
    """
    metrics.gauge("cases", "Cases in memory.", lambda: len(cases))
    metrics.gauge("answered_cases", "Cases with an answer in memory.", lambda: len(answers))

    async def live(_: Request) -> Response:
        return _report({"cases": cases.alive, "answers": answers.alive})

    async def ready(_: Request) -> Response:
        return _report({"cases": _caught_up(cases), "answers": _caught_up(answers), "kafka": await _answers(publisher)})

    async def figures(_: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", figures)])


def _report(parts: dict[str, bool]) -> Response:
    return JSONResponse(parts, 200 if all(parts.values()) else 503)


def _caught_up(view: View) -> bool:
    try:
        return view.alive and view.caught_up
    except KafkaError:
        return False


async def _answers(publisher: Broker) -> bool:
    try:
        await publisher.check()
    except KafkaError:
        return False
    return True
