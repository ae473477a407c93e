"""Writes answers to the topic fraud_confirmation and waits for their acknowledgement."""

import asyncio
import atexit
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer

from fraudstream.cases.answers.staff import LINK, STAFF, TIMEOUT
from fraudstream.cases.links.signed import Proposal
from fraudstream.errors import AnswerUnknown, KafkaRefused, KafkaUnavailable
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

Status = Literal["REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE"]
#: Partition and offset.
Place = tuple[int, int]
#: The future that waits for an answer's delivery report, the report's error, the answer's place.
_Report = tuple["asyncio.Future[Place]", Code | None, Place]
#: The status that a button stands for.
STATUS_OF: dict[Proposal, Status] = {"fraud": "REPORTED_FRAUD", "not-fraud": "REPORTED_NOT_FRAUD"}

#: Seconds after which an answer that isn't acknowledged has failed; its customer is told so.
DELIVERY_SECONDS = 10
#: How long an answer waits for others in its batch: customers do not notice, and the brokers handle fewer requests.
LINGER_MS = 20
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DecidedBy:
    """Who of the staff decided a case, and why, in that person's words."""

    name: str
    reason: str


class AnswerPublisher:
    """Produces answers. One publisher for a process is enough: event loops in any threads may use it.

    It polls librdkafka's delivery reports in its own thread. confluent-kafka's asyncio producer would buffer records
    for up to a second before it sends them, while a person waits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec: Codec | None = None
        self._codec_lock = threading.Lock()
        self._connection = Connection(settings)
        self._producer = self._connect()
        #: Replaced producers, kept until all their delivery reports have come.
        self._ended: list[Producer] = []
        #: Appended to by librdkafka's callbacks, which run in the thread that polls.
        self._reported: deque[_Report] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve_reports, name="answers' delivery reports", daemon=True)
        self._thread.start()

    def __enter__(self) -> "AnswerPublisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the publisher is still open."""
        return not self._stop.is_set()

    async def publish(
        self,
        status: Status,
        transaction: Mapping[str, Any],
        answered_at: datetime,
        decided: DecidedBy | None = None,
    ) -> Place:
        """Writes an answer; returns its partition and offset once all in-sync replicas have it.

        A call that is cancelled or fails may still have written its answer. The first answer in the log counts, so
        publishing it again is harmless. A staff decision always counts, so
        :mod:`fraudstream.cases.answers.decisions` checks the case's outcome before it publishes one.

        :param transaction: the decoded record of fraud_transaction
        :param decided: person and reason of a staff decision; None: the customer's answer, or NO_RESPONSE
        :raises AnswerUnknown: the brokers don't acknowledge the answer within :data:`DELIVERY_SECONDS`
        :raises KafkaUnavailable: the answer wasn't sent
        :raises KafkaRefused: the brokers refuse the user, or the user may not write to the topic
        :raises SchemaRegistryError: the registry doesn't answer at the first use
        :raises RecordError: `transaction` doesn't fit the schema
        """
        record = {**transaction, "status": status, "answeredAt": answered_at, **channel_of(status, decided)}
        value = await asyncio.to_thread(self._encode, record) if self._codec is None else self._encode(record)
        delivered: asyncio.Future[Place] = asyncio.get_running_loop().create_future()

        def report(error: Code | None, message: Message) -> None:
            self._reported.append((delivered, error, (message.partition(), message.offset())))

        self._produce(record["idTransaction"], value, report)
        try:
            return await delivered
        except KafkaException as error:
            refused = self._connection.error(error, doing=f"writing an answer to topic {FRAUD_CONFIRMATION}")
            raise refused if isinstance(refused, KafkaRefused) else AnswerUnknown(self._why(error.args[0])) from error

    async def check(self) -> None:
        """Checks that the brokers answer now.

        :raises KafkaUnavailable: the brokers don't answer
        """
        try:
            await asyncio.to_thread(self._producer.list_topics, FRAUD_CONFIRMATION, 2)
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error

    def close(self) -> None:
        """Waits for outstanding answers, at most :data:`DELIVERY_SECONDS` a producer, and ends. May be called again."""
        if not self._stop.is_set():
            for producer in (self._producer, *self._ended):
                producer.flush(DELIVERY_SECONDS)
            self._stop.set()
            self._thread.join()
            self._pass_on()

    def _connect(self) -> Producer:
        return Producer(
            self._settings.producer_config(
                **{
                    "client.id": "fraudstream-answers",
                    "enable.idempotence": True,
                    "delivery.timeout.ms": DELIVERY_SECONDS * 1000,
                    "linger.ms": LINGER_MS,
                    "error_cb": self._on_error,
                }
            ),
            logger=logger,
        )

    def _encode(self, record: dict[str, Any]) -> bytes:
        # The codec isn't thread-safe. Its first use asks the registry, so publish() runs it in another thread then.
        with self._codec_lock:
            codec = self._codec or Codec.for_topic(FRAUD_CONFIRMATION, self._settings)
            value = codec.encode(record)
            self._codec = codec
            return value

    def _produce(self, key: str, value: bytes, report: Any) -> None:
        try:
            self._producer.produce(FRAUD_CONFIRMATION, key=key, value=value, on_delivery=report)
        except BufferError as error:
            raise self._unavailable("too many answers wait for the brokers") from error
        except KafkaException as error:
            if error.args[0].code() == Code._FATAL:
                # After a fatal error an idempotent producer never sends again, so a new one replaces it.
                logger.warning("answers: a new producer replaces one that ended with %s", error.args[0])
                self._ended.append(self._producer)
                self._producer = self._connect()
            raise self._unavailable(error.args[0]) from error

    def _on_error(self, error: Code) -> None:
        logger.warning("answers: %s", error)
        self._connection.on_error(error)

    def _serve_reports(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_SECONDS)
            for ended in list(self._ended):
                ended.poll(0)
                if not len(ended):
                    self._ended.remove(ended)
            self._pass_on()

    def _pass_on(self) -> None:
        """Passes delivery reports on to the event loops of their callers, with one wake-up for each loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Report]] = defaultdict(list)
        while self._reported:
            report = self._reported.popleft()
            by_loop[report[0].get_loop()].append(report)
        for loop, theirs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, theirs)
            except RuntimeError:
                logger.debug("an event loop was closed while %d answers were on their way", len(theirs))

    def _unavailable(self, why: object) -> KafkaUnavailable:
        return KafkaUnavailable(self._why(why))

    def _why(self, why: object) -> str:
        return (
            f"an answer is not confirmed by Kafka at {self._settings.kafka_bootstrap_servers} (setting "
            f"FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS), topic {FRAUD_CONFIRMATION}: {why}; the answer can be given again"
        )


def channel_of(status: Status, decided: DecidedBy | None) -> dict[str, str | None]:
    """The columns channel, decidedBy and reason of an answer."""
    if decided is None:
        return {"channel": TIMEOUT if status == "NO_RESPONSE" else LINK, "decidedBy": None, "reason": None}
    return {"channel": STAFF, "decidedBy": decided.name, "reason": decided.reason}


def _settle(reported: "list[_Report]") -> None:
    for delivered, error, place in reported:
        if delivered.done():  # its caller was cancelled
            continue
        if error is None:
            delivered.set_result(place)
        else:
            delivered.set_exception(KafkaException(error))


class _Shared:
    """The one publisher of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._publisher: AnswerPublisher | None = None

    def get(self, settings: Settings) -> AnswerPublisher:
        with self._lock:
            if self._publisher is None or not self._publisher.alive:
                if self._publisher is None:
                    atexit.register(self.close)
                self._publisher = AnswerPublisher(settings)
            return self._publisher

    def close(self) -> None:
        with self._lock:
            if self._publisher is not None:
                self._publisher.close()


_shared = _Shared()


def shared_publisher(settings: Settings) -> AnswerPublisher:
    """This process's publisher, made on first use; a new one after it was closed."""
    return _shared.get(settings)
