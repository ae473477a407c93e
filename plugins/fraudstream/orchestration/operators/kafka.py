"""Operators for the producer and the subscriptions: SIGTERM ends them after the current batch."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from typing import Any, Literal

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.places import AnswerPlaces
from fraudstream.cases.answers.staff import staff_decisions
from fraudstream.cases.links.signed import Links
from fraudstream.cases.opening import FOLDER as CASES_FOLDER
from fraudstream.cases.opening import CaseSink
from fraudstream.dataset.source.source import open_source
from fraudstream.errors import ProducerStopped
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS, UNKNOWN_SECONDS_OF_SENDER
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, MAIL_RETRY, Sink
from fraudstream.kafka.topic.definitions import DEAD_LETTER_ROLES
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import InTable, ObjectChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.lake.table.catalog import Tables
from fraudstream.mail.compacted_log import CompactedLog
from fraudstream.mail.sink import mail_sink
from fraudstream.orchestration.connections import lake, smtp_server, storage_client
from fraudstream.orchestration.consumers.bounded_sink import BoundedSink, GivenUp
from fraudstream.orchestration.consumers.failing import Watch
from fraudstream.orchestration.monitoring.metrics import report
from fraudstream.orchestration.retries import deadline
from fraudstream.orchestration.runs import open_run
from fraudstream.pipeline.measured_sink import MeasuredSink
from fraudstream.settings import Settings, get_settings

Stop = Callable[[], bool]
Role = Literal["write_lake", "send_mail", "open_cases"]

#: Seconds for the current batch after SIGTERM (Airflow allows 5) and after the run's deadline.
_KILL_GRACE, _DEADLINE_GRACE = 3.0, 15.0


class _Stoppable(BaseOperator):
    """An operator whose work can be stopped: SIGTERM ends it after the batch at hand."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._killed_at = inf
        self._stop: Callable[[], None] | None = None

    def on_kill(self) -> None:
        """Called by Airflow on SIGTERM, and when a person marks or clears the running task."""
        self.log.info("asked to end: finishing the batch at hand")
        self._killed_at = min(self._killed_at, time.monotonic())
        if self._stop is not None:
            self._stop()

    def _stoppable(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._killed_at < inf:
            stop()


class ProduceTransactions(_Stoppable):
    """Produces a PaySim file to the topics; returns the position reached. See :class:`Publisher` for the guarantee."""

    template_fields = ("source", "limit", "rows_per_second", "max_rejected_share", "replay")

    def __init__(
        self,
        *,
        source: str,
        limit: Any,
        rows_per_second: Any,
        max_rejected_share: Any,
        replay: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.limit = limit
        self.rows_per_second = rows_per_second
        self.max_rejected_share = max_rejected_share
        self.replay = replay

    def execute(self, context: Context) -> dict[str, Any]:
        """Produces the file and returns the position reached.

        :raises ProducerStopped: the task was asked to end before the whole file, or its limit, was produced
        :raises FraudstreamError: see :meth:`Publisher.run`; a retry continues after the last committed transaction
        """
        settings = get_settings()
        uri = self.source or settings.dataset
        source = open_source(uri, storage_client() if uri.startswith("gs://") else None, self.replay)
        limit = int(self.limit) if self.limit not in {None, "", "None"} else None
        publisher = Publisher(
            settings,
            source,
            limit=limit,
            rows_per_second=int(self.rows_per_second),
            max_rejected_share=float(self.max_rejected_share),
        )
        self._stoppable(publisher.stop)
        position = publisher.run()
        if self._killed_at < inf and not position.done and (limit is None or position.row < limit):
            # A worker that is restarted ends its tasks. With success, nothing would produce the rest of the file.
            raise ProducerStopped(
                f"the producer of {uri} was asked to end, and stopped after row {position.row:,}: a retry continues"
            )
        return asdict(position)


class Consume(_Stoppable):
    """A member of the consumer group `<role>-<topic>`; returns its report. See :class:`Subscription`.

    The task ends at the deadline of its DAG run, in any try and also during a wait.

    :param role: what the member does with the records. One group of a topic sends the dead letters: write_lake, or
        send_mail for the topic of deferred mails
    :param max_minutes: minutes from the start of the DAG run to its deadline
    """

    template_fields = ("until", "max_minutes")

    def __init__(self, *, topic: str, role: Role, until: str, max_minutes: Any, worker: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.role = role
        self.until = until
        self.max_minutes = max_minutes
        self.worker = worker

    def execute(self, context: Context) -> dict[str, Any]:
        """Runs the member and returns its report.

        :raises FraudstreamError: see :meth:`Subscription.run`; no record is lost, a retry continues
        """
        settings = get_settings()
        ends_at = time.monotonic() + (deadline(context, self.max_minutes) - datetime.now(UTC)).total_seconds()
        made = _SINKS[self.role](settings, self.topic, lambda: self._killed_at < inf or time.monotonic() >= ends_at)
        tags = {"role": self.role, "topic": self.topic}
        measured = MeasuredSink(
            _first_only(settings, self.topic, made), lambda metric, value: report(metric, value, **tags)
        )
        sink = BoundedSink(
            measured,
            until=lambda: min(self._killed_at + _KILL_GRACE, ends_at + _DEADLINE_GRACE),
        )
        sends_dead_letters = self.role == DEAD_LETTER_ROLES[self.topic]
        subscription = Subscription(
            settings,
            self.topic,
            f"{self.role}-{self.topic}",
            sink,
            Codec.for_topic(self.topic, settings, UNKNOWN_SECONDS_OF_SENDER if sends_dead_letters else UNKNOWN_SECONDS),
            until="caught_up" if self.until == "caught_up" else "forever",
            max_seconds=ends_at - time.monotonic(),
            dead_letters=DeadLetters(settings) if sends_dead_letters else None,
            columns=self.role == "write_lake",
        )
        self._stoppable(subscription.stop)
        watch = Watch(context, sink, subscription)
        watch.start()
        try:
            subscription.run()
            if self.until == "caught_up" and self._killed_at == inf and time.monotonic() < ends_at:
                watch.caught_up()
        except GivenUp:
            self.log.warning(
                "%s didn't finish its batch in time: what isn't durable is read again by the next reader", self.role
            )
        finally:
            watch.over.set()
            measured.report_invalid(subscription.report)
        return asdict(subscription.report)


def _first_only(settings: Settings, topic: str, sink: Sink) -> Sink:
    """Filters the records of a sink: omits answers that don't count, and repeated records of a mail's retry."""
    if topic == FRAUD_CONFIRMATION:
        return FirstAnswers(sink, elsewhere=AnswerPlaces(settings), also=staff_decisions)
    return FirstAnswers(sink, "tryId") if topic == MAIL_RETRY else sink


def _in_table(settings: Settings, folder: str) -> InTable:
    """Returns a function for the offsets in a folder's table. A chain that lost its progress continues after them."""
    return lambda: Tables.connect(settings, settings.lake_bucket).offsets(folder)


def _lake_sink(settings: Settings, topic: str, _: Stop) -> Sink:
    return JsonSink(
        AppendingChain(lake(settings), FOLDER_OF[topic], Topics(settings), _in_table(settings, FOLDER_OF[topic])),
        LINES_OF[topic],
        flush_rows=settings.lake_flush_rows,
        flush_seconds=settings.lake_flush_seconds,
    )


def _mail_sink(settings: Settings, topic: str, stop: Stop) -> Sink:
    chain = AppendingChain(lake(settings), MAILS, Topics(settings), _in_table(settings, MAILS))
    # other mails have no links, and the workers that send them have no signing key
    links = Links(settings) if topic in {FRAUD_TRANSACTION, MAIL_RETRY} else None
    compacted = CompactedLog(lambda: Tables.connect(settings, settings.lake_bucket))
    return mail_sink(settings, smtp_server(), topic, chain, links, stop=stop, compacted=compacted)


def _case_sink(settings: Settings, topic: str, stop: Stop) -> Sink:
    return CaseSink(
        ObjectChain(lake(settings), CASES_FOLDER, Topics(settings)),
        open_run,
        time_limit=settings.confirmation_time_limit,
        cases_per_second=settings.confirmation_cases_per_second,
        stop=stop,
    )


_SINKS: dict[str, Callable[[Settings, str, Stop], Sink]] = {
    "write_lake": _lake_sink,
    "send_mail": _mail_sink,
    "open_cases": _case_sink,
}
