"""A run: writes arbitrary records to every topic. In the end each must have all its effects or be one dead letter.

1. start brokers, registry and store empty; create topics and schemas, and foreign schemas in the registry
2. start the site as a process, consumers and views as threads
3. produce to every topic while all of them run
4. stop the consumers, and let new ones read to the end
5. compare topics, dead letters, lake, mail log, cases, views and site
"""

import logging
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.views.case_views import CaseView, ConfirmationView
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.errors import MailError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import SCHEMA_FILES
from fraudstream.settings import ROOT, Settings

from local.stack.environment import LOGS, VAR
from tests.chaos.stack import PARTITIONS, Stack
from tests.chaos.workers import SMTP_PORT, sink_of
from tests.fakes.smtp import FakeSmtpServer
from tests.fuzz.checks import READ, Place, answers, check_site, check_topic
from tests.fuzz.values import FOREIGN, Value, Values

#: Group and topic of the consumers.
CONSUMERS = [
    *((role, topic) for topic in READ for role in ("write_lake", "send_mail")),
    ("open_cases", FRAUD_TRANSACTION),
]
_MONEY = '{"type": "record", "name": "Money", "fields": [{"name": "minor", "type": "long"}]}'
#: Records a second on each topic.
_RATE = 100
_LOOK_SECONDS = 2.0
_DRAIN_SECONDS = 300.0


class Result(NamedTuple):
    """The number of written records of each kind, and the problems."""

    written: Counter[str]
    dead: int
    problems: list[str]


class Consumers:
    """The consumers, each in a thread; `failed` has the errors that ended them."""

    def __init__(self, settings: Settings, cases: Path) -> None:
        self._settings = settings
        self._cases = cases
        self._running: list[tuple[threading.Thread, Subscription, threading.Event]] = []
        self.failed: list[str] = []

    def start(self, until: Any) -> None:
        """Starts new instances of all consumers."""
        for role, topic in CONSUMERS:
            stop = threading.Event()
            sink = sink_of(self._settings, role, topic, self._cases, stop)
            subscription = Subscription(
                self._settings,
                topic,
                f"{role}-{topic}",
                FirstAnswers(sink) if topic == FRAUD_CONFIRMATION else sink,
                Codec.for_topic(topic, self._settings),
                until=until,
                dead_letters=DeadLetters(self._settings) if role == "write_lake" else None,
                columns=role == "write_lake",
            )
            thread = threading.Thread(target=self._run, args=(f"{role}-{topic}", subscription, stop), daemon=True)
            thread.start()
            self._running.append((thread, subscription, stop))

    def finish(self, *, stop: bool) -> None:
        """Waits for the end of all consumers; with `stop` it stops them first."""
        for _, subscription, stopped in self._running if stop else []:
            subscription.stop()
            stopped.set()
        for thread, subscription, _ in self._running:
            thread.join(_DRAIN_SECONDS)
            if thread.is_alive():
                self.failed.append(f"{subscription.report.group} doesn't end")
        self._running = []

    def _run(self, name: str, subscription: Subscription, stop: threading.Event) -> None:
        try:
            subscription.run()
        except MailError as error:
            # A stopped task leaves mails without an answer to the next one, as in Airflow.
            if not stop.is_set():
                self.failed.append(f"{name} ended: {error}")
        except BaseException as error:  # noqa: BLE001  # whatever ends a consumer is what is looked for
            self.failed.append(f"{name} ended: {type(error).__name__}: {error}")


def run(seed: int, seconds: float) -> Result:
    """Runs a whole round."""
    stack = Stack()
    with ExitStack() as ends:
        # 1. stack
        ends.callback(stack.down)
        stack.up()
        smtp = ends.enter_context(FakeSmtpServer())
        public, private = stack.port("confirmation"), stack.port("confirmation_health")
        os.environ.update(
            stack.environment()
            | {
                "FRAUDSTREAM_KAFKA_MAX_DEAD_LETTER_SHARE": "1",
                "FRAUDSTREAM_CONFIRMATION_KEYS": secrets.token_urlsafe(32),
                "FRAUDSTREAM_CONFIRMATION_URL": f"http://127.0.0.1:{public}",
                "FRAUDSTREAM_CONFIRMATION_BIND": f"127.0.0.1:{public}",
                "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": f"127.0.0.1:{private}",
                "FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "100000",
                SMTP_PORT: str(smtp.port),
            }
        )
        logging.basicConfig(
            filename=LOGS / "fuzz.log", level=logging.INFO, format="%(asctime)s %(message)s", force=True
        )
        settings = Settings()
        stack.create_topics(settings)
        foreign = register_foreign(settings)
        # 2. site, views, consumers
        health = f"http://127.0.0.1:{private}/health"
        ends.enter_context(_site(health))
        views = (
            ends.enter_context(CaseView(settings, horizon=None)),
            ends.enter_context(ConfirmationView(settings, horizon=None)),
        )
        consumers = Consumers(settings, VAR / "cases.jsonl")
        consumers.start("forever")
        # 3. anything
        written = _produce(settings, foreign, seed, seconds, lambda: _look(health, views, consumers))
        # 4. the rest
        consumers.finish(stop=True)
        consumers.start("caught_up")
        consumers.finish(stop=False)
        # 5. compare
        problems = consumers.failed + _look(health, views, consumers)
        dead = 0
        for topic in SCHEMA_FILES:
            found, letters = check_topic(settings, topic, written, VAR / "cases.jsonl", views)
            problems += found
            dead += letters
        problems += check_site(settings)
        return Result(Counter(value.kind for value in written.values()), dead, problems)


def register_foreign(settings: Settings) -> dict[str, int]:
    """Registers the foreign schemas; returns their ids."""
    with SchemaRegistryClient({"url": settings.schema_registry_url}) as client:
        ids = {name: client.register_schema(f"fuzz-{name}", Schema(*FOREIGN[name])) for name in FOREIGN}
        client.register_schema("fuzz-money", Schema(_MONEY, "AVRO"))
        text = '{"type": "record", "name": "R", "fields": [{"name": "amount", "type": "Money"}]}'
        reference = SchemaReference("Money", "fuzz-money", 1)
        ids["referring"] = client.register_schema("fuzz-referring", Schema(text, "AVRO", [reference]))
        return ids


@contextmanager
def _site(health: str) -> Iterator[None]:
    with (VAR / "site.log").open("w") as log:
        site = subprocess.Popen([sys.executable, "-m", "fraudstream.site"], cwd=ROOT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not answers(f"{health}/ready"):
                if site.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the site isn't ready: {(VAR / 'site.log').read_text()[-2000:]}")
                time.sleep(0.5)
            yield
        finally:
            site.terminate()
            site.wait(30)


def _look(health: str, views: Iterable[TopicView[Any]], consumers: Consumers) -> list[str]:
    """The parts that don't work any more."""
    problems = [f"the site's {part} isn't 200" for part in ("live", "ready") if not answers(f"{health}/{part}")]
    problems += [f"the view of {view.topic} ended" for view in views if not view.alive]
    return problems + list(consumers.failed)


def _produce(settings: Settings, foreign: dict[str, int], seed: int, seconds: float, look: Any) -> dict[Place, Value]:
    """Produces values; returns them by the place of their records."""
    written: dict[Place, Value] = {}
    producer = Producer(settings.producer_config(**{"enable.idempotence": True, "message.max.bytes": 1_048_000}))
    rng = random.Random(seed)  # noqa: S311  no secret
    now = int(time.time() * 1000)
    values = {
        topic: Values(topic, Codec.for_topic(topic, settings).encode, foreign, prefix=f"fuzz{seed}", seed=seed, now=now)
        for topic in SCHEMA_FILES
    }
    end = look_at = time.monotonic() + seconds
    look_at -= seconds
    while time.monotonic() < end:
        started = time.monotonic()
        for topic, maker in values.items():
            for _ in range(_RATE):
                value = maker.next()
                if value.kind == "untimely":  # brokers set the timestamps, so the record isn't untimely
                    value = value._replace(valid=None)

                def delivered(error: Any, message: Message, value: Value = value) -> None:
                    if error is not None:
                        raise KafkaException(error)
                    written[message.topic() or "", message.partition() or 0, message.offset() or 0] = value

                partition = 0 if topic == "ingest_progress" else rng.randrange(PARTITIONS)
                producer.produce(
                    topic,
                    key=b"fuzz",
                    value=value.content,
                    partition=partition,
                    timestamp=value.timestamp,
                    headers=[("trace", rng.randbytes(4))],
                    on_delivery=delivered,
                )
        producer.flush(60)
        if time.monotonic() > look_at:
            look_at = time.monotonic() + _LOOK_SECONDS
            if problems := look():
                raise RuntimeError("; ".join(problems))
        time.sleep(max(0.0, started + 1 - time.monotonic()))
    return written
