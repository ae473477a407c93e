"""``python -m fraudstream.site`` runs the confirmation site until SIGTERM or Ctrl-C."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from typing import Any

import uvloop

from fraudstream.cases.answers.publisher import AnswerPublisher
from fraudstream.cases.events import CaseEvents
from fraudstream.cases.links.signed import Links
from fraudstream.cases.views.case_views import CaseView, OutcomeView, horizon
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings, get_settings
from fraudstream.site.health import create_health
from fraudstream.site.metrics import Metrics
from fraudstream.site.opened import OpenedPages
from fraudstream.site.serving import Server, listening, server
from fraudstream.site.site import create_app

logger = logging.getLogger("fraudstream.site")

#: New objects between two runs of Python's garbage collector. With the default of 700, it scans the objects of all
#: pending requests and all cases in memory again and again, which takes a third of the time of a busy site.
NEW_OBJECTS = 20_000
HEALTH_CONNECTIONS = 100


async def serve(settings: Settings) -> int:
    """Runs the site and its health address; returns the exit code.

    :raises SettingsError: an address can't be listened on, or the links' settings are unusable
    """
    links = Links(settings)
    metrics = Metrics()
    with (
        listening(settings.confirmation_bind, "FRAUDSTREAM_CONFIRMATION_BIND") as public,
        listening(settings.confirmation_health_bind, "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND") as private,
        CaseView(settings, horizon=horizon(settings)) as cases,
        OutcomeView(settings, horizon=horizon(settings)) as answers,
        AnswerPublisher(settings) as publisher,
        OpenedPages(CaseEvents(settings).publish) as opened,
    ):
        site = server(
            create_app(settings, cases, answers, publisher, links, metrics, opened),
            on_end=lambda reason: metrics.ended.labels(reason).inc(),
        )
        health = server(create_health(cases, answers, publisher, metrics), most_connections=HEALTH_CONNECTIONS)
        servers = (site, health)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, servers)
        logger.info("confirmation site at %s, health at %s", settings.confirmation_url, _address(private))
        watch = asyncio.create_task(_end_with_a_view((cases, answers), servers))
        await asyncio.gather(site.serve(sockets=[public]), health.serve(sockets=[private]))
        if watch.done():
            return 1
        watch.cancel()
        return 0


async def _end_with_a_view(views: tuple[TopicView[Any], ...], servers: tuple[Server, ...]) -> None:
    """Ends the servers when a view ends, since a view doesn't restart: the process is to be restarted instead."""
    ends = [asyncio.ensure_future(view.ended()) for view in views]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        logger.error("a view of a topic ended (the log has its error above), so the site ends, too")
        _end(servers)
    finally:
        for end in ends:
            end.cancel()


def _end(servers: tuple[Server, ...]) -> None:
    for ending in servers:
        ending.should_exit = True


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"


def main() -> int:
    """Returns exit code 0 after SIGTERM or Ctrl-C; 1 if the site can't start or can't continue."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    gc.set_threshold(NEW_OBJECTS)
    try:
        return uvloop.run(serve(get_settings()))
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
