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
    """``/health/live``, ``/health/ready``, ``/health/kafka`` and ``/metrics``.

    Live: both views follow their topics; if not, only a restart helps. Ready: both are caught up, so pages can be
    shown; a load balancer asks this. Kafka: the brokers answer now. An alert watches this one: a balancer that asked it
    would drop all sites at once, and show customers its own error page where ours says what to do.
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
