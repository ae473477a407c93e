"""The site's health checks and metrics, at a separate address that customers can't reach."""

from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fraudstream.errors import KafkaError
from fraudstream.site.metrics import Metrics


class View(Protocol):
    """The part of a view that health checks use."""

    @property
    def alive(self) -> bool: ...
    @property
    def caught_up(self) -> bool: ...
    def __len__(self) -> int: ...


class Broker(Protocol):
    """The part of the publisher that health checks use."""

    async def check(self) -> None: ...


def create_health(cases: View, answers: View, publisher: Broker, metrics: Metrics) -> Starlette:
    """Returns an application with ``/health/live``, ``/health/ready``, ``/health/kafka`` and ``/metrics``.

    Live: both views follow their topics; if not, only a restart helps. Ready: both views are caught up, so pages can
    be shown; load balancers check this. Kafka: the brokers answer now. This check is for an alert: a load balancer that
    used it would drop all sites at once, and show its own error page instead of the site's, which says what to do.
    """
    metrics.gauge("cases", "Cases in memory.", lambda: len(cases))
    metrics.gauge("answered_cases", "Cases with an answer in memory.", lambda: len(answers))

    async def live(_: Request) -> Response:
        return _report({"cases": cases.alive, "answers": answers.alive})

    async def ready(_: Request) -> Response:
        return _report({"cases": _caught_up(cases), "answers": _caught_up(answers)})

    async def kafka(_: Request) -> Response:
        return _report({"kafka": await _answers(publisher)})

    async def figures(_: Request) -> Response:
        metrics.kafka_up.set(await _answers(publisher))
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    routes = {"/health/live": live, "/health/ready": ready, "/health/kafka": kafka, "/metrics": figures}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()])


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
