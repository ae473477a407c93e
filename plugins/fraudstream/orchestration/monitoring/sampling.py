"""Samples of the pipeline, taken by a thread of the API server and kept for a day in Airflow's database.

Each process of the API servers has such a thread. A sample belongs to a time slot of 15 seconds, which is the key of
its row. The process that inserts the row first takes the sample, so that there is one sample for each slot.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from airflow import settings as airflow_settings
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from fraudstream.errors import FraudstreamError
from fraudstream.orchestration.connections import lake_with_tables
from fraudstream.orchestration.monitoring.health import read_health
from fraudstream.orchestration.monitoring.metrics import report
from fraudstream.pipeline.metrics import of_health, of_sample
from fraudstream.pipeline.sampling.sample import Sample
from fraudstream.pipeline.sampling.sampler import Sampler
from fraudstream.settings import get_settings

log = logging.getLogger(__name__)

SECONDS = 15
_LEAVE_SECONDS = 3.0
#: Of the samples that are older than an hour, the page's plots need one in this number.
_THINNED = 4
_KEPT_SLOTS = 25 * 3600 // SECONDS
_HOUR_SLOTS = 3600 // SECONDS
_DAY_SLOTS = 24 * _HOUR_SLOTS

_samples = Table(
    "fraudstream_sample",
    MetaData(),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("sample", Text),
)


def read_history(connection: Any, now: float) -> list[Sample]:
    """The samples of the last day in the order of their times. Of those before the last hour, only every fourth.

    Samples of another version with other figures are omitted, and so are samples with a future time, which a wrong
    clock leaves.

    :param now: seconds since 1970
    """
    slot = int(now // SECONDS)
    wanted = (_samples.c.slot > slot - _HOUR_SLOTS) | (
        (_samples.c.slot > slot - _DAY_SLOTS) & (_samples.c.slot % _THINNED == 0)
    )
    ordered = select(_samples.c.sample).where(wanted, _samples.c.slot <= slot).order_by(_samples.c.slot)
    samples = (Sample.from_json(text) for text in connection.execute(ordered).scalars() if text)
    return [sample for sample in samples if sample]


@cache
def create_table(engine: Any) -> None:
    """Creates the table of samples if it doesn't exist. Each process checks this once."""
    with suppress(IntegrityError, ProgrammingError), engine.begin() as connection:  # another process may create it, too
        connection.execute(CreateTable(_samples, if_not_exists=True))


class Sampling:
    """The thread that takes samples. A failure is logged, and the thread tries again at the next slot."""

    def __init__(self, engine: Any, new_sampler: Callable[[], Sampler]) -> None:
        self._engine = engine
        self._new_sampler = new_sampler
        self._sampler: Sampler | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples of the pipeline", daemon=True)

    def start(self) -> None:
        """Starts the thread; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the current sample, and waits for that at most 3 seconds."""
        self._stop.set()
        self._thread.join(_LEAVE_SECONDS)

    def take(self, slot: int) -> bool:
        """Takes the sample of a slot unless another process has begun it. Returns whether this process took it."""
        with self._engine.begin() as connection:
            try:
                connection.execute(insert(_samples).values(slot=slot))
            except IntegrityError:
                return False
        if self._sampler is None:
            self._sampler = self._new_sampler()
        sample = self._sampler.sample()
        with self._engine.begin() as connection:
            connection.execute(update(_samples).where(_samples.c.slot == slot).values(sample=sample.to_json()))
            connection.execute(delete(_samples).where(_samples.c.slot < slot - _KEPT_SLOTS))
        now = time.time()
        with Session(self._engine) as session:
            health = read_health(session, now)
        for metric, value, tags in (*of_sample(sample, now), *of_health(health, now)):
            report(metric, value, **tags)
        return True

    def _run(self) -> None:
        while not self._stop.wait(SECONDS - time.time() % SECONDS):
            try:
                create_table(self._engine)
                self.take(int(time.time() // SECONDS))
            except (FraudstreamError, SQLAlchemyError) as error:
                log.warning("no sample of the pipeline was taken: %s", error)
            except Exception:
                log.exception("no sample of the pipeline was taken")
        if self._sampler is not None:
            self._sampler.close()


class SamplesPipeline:
    """Root middleware of the API server: starts and stops the thread with the server, and passes all requests on."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        settings = get_settings()
        sampling = Sampling(airflow_settings.engine, lambda: Sampler(settings, lambda: lake_with_tables(settings)))
        sampling.start()
        try:
            await self._app(scope, receive, send)
        finally:
            sampling.stop()
