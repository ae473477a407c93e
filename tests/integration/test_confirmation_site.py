"""Confirmations on real brokers, in their own topics, except where the site runs as a process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from fraudstream.cases.answers import publisher as answers_module
from fraudstream.cases.answers.publisher import AnswerPublisher, Place
from fraudstream.cases.links.signed import Links
from fraudstream.cases.views.case_views import CaseView, ConfirmationView
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.errors import AnswerUnknown
from fraudstream.kafka.avro import codec as codec_module
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import Registry
from fraudstream.settings import Settings
from fraudstream.site.metrics import Metrics
from fraudstream.site.site import create_app

from tests.fakes.cases import transaction

pytestmark = pytest.mark.integration

PARTITIONS = 3


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Topics:
    """A topic of cases and a topic of answers that no other test uses."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        unique = uuid.uuid4().hex[:12]
        self.cases, self.answers = f"test.cases.{unique}", f"test.answers.{unique}"
        admin = AdminClient(settings.kafka_config())
        replication = settings.kafka_replication_factor
        new = [NewTopic(name, PARTITIONS, replication) for name in (self.cases, self.answers)]
        for created in admin.create_topics(new, operation_timeout=30).values():
            created.result()
        monkeypatch.setitem(codec_module.SCHEMA_FILES, self.cases, "transaction.avsc")
        monkeypatch.setitem(codec_module.SCHEMA_FILES, self.answers, "fraud_confirmation.avsc")
        for name in (self.cases, self.answers):
            Registry(settings).register(name, schema_text(name))
        monkeypatch.setattr(answers_module, "FRAUD_CONFIRMATION", self.answers)
        self.case_view = type("TestCases", (CaseView,), {"topic": self.cases})
        self.answer_view = type("TestAnswers", (ConfirmationView,), {"topic": self.answers})

    def delete(self) -> None:
        admin = AdminClient(self.settings.kafka_config())
        for deleted in admin.delete_topics([self.cases, self.answers], operation_timeout=30).values():
            deleted.result()

    def add_cases(self, *ids: str) -> None:
        """Writes cases in a transaction, as the producer does, and then an aborted transaction."""
        codec = Codec.for_topic(self.cases, self.settings)
        producer = Producer(self.settings.kafka_config(**{"transactional.id": self.cases}))
        producer.init_transactions(30)
        producer.begin_transaction()
        for case in ids:
            producer.produce(self.cases, codec.encode(transaction(case)), case)
        producer.commit_transaction(30)
        producer.begin_transaction()
        producer.produce(self.cases, codec.encode(transaction("never-committed")), "never")
        producer.flush(30)
        producer.abort_transaction(30)


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    made = Topics(settings, monkeypatch)
    yield made
    made.delete()


async def caught_up(view: TopicView[object]) -> None:
    def poll() -> None:
        until = time.monotonic() + 30
        while not view.caught_up:
            assert time.monotonic() < until, "the view didn't catch up within 30 s"
            time.sleep(0.02)

    await asyncio.to_thread(poll)


def test_a_view_ends_up_caught_up_behind_committed_and_aborted_transactions(topics: Topics) -> None:
    ids = [f"case-{n}" for n in range(50)]
    topics.add_cases(*ids)
    with topics.case_view(topics.settings, horizon=None) as cases:
        asyncio.run(caught_up(cases))
        assert all(cases.get(case) == transaction(case) for case in ids)
        assert cases.get("never-committed") is None
        assert len(cases) == 50


def test_a_thousand_waiters_each_get_the_first_answer_of_their_case(topics: Topics) -> None:
    ids = [f"case-{n}" for n in range(1000)]

    async def run() -> None:
        with (
            topics.answer_view(topics.settings, horizon=timedelta(hours=1)) as answers,
            AnswerPublisher(topics.settings) as publisher,
        ):
            await caught_up(answers)
            waiting = [asyncio.create_task(answers.wait(case)) for case in ids]
            now = datetime.now(UTC)
            places: list[Place] = await asyncio.gather(
                *(publisher.publish("REPORTED_FRAUD", transaction(case), now) for case in ids)
            )
            again = await asyncio.gather(
                *(publisher.publish("NO_RESPONSE", transaction(case), now) for case in ids[:100])
            )
            async with asyncio.timeout(30):
                found = await asyncio.gather(*waiting)
                for place in again:
                    await answers.reached(*place)
            assert [(answer.partition, answer.offset) for answer in found] == places
            assert {answer.status for answer in found} == {"REPORTED_FRAUD"}
            assert all((answer := answers.get(case)) and answer.status == "REPORTED_FRAUD" for case in ids)
            assert answers.waiting == 0

    asyncio.run(run())


def test_a_view_that_starts_later_finds_the_same_first_answers_within_its_horizon_only(topics: Topics) -> None:
    async def run() -> None:
        with AnswerPublisher(topics.settings) as publisher:
            await publisher.publish("REPORTED_FRAUD", transaction("early"), datetime.now(UTC))
            await publisher.publish("REPORTED_NOT_FRAUD", transaction("early"), datetime.now(UTC))
            await asyncio.sleep(1.5)
            await publisher.publish("REPORTED_NOT_FRAUD", transaction("late"), datetime.now(UTC))
        with topics.answer_view(topics.settings, horizon=None) as everything:
            await caught_up(everything)
            assert [everything.get(case).status for case in ("early", "late")] == [
                "REPORTED_FRAUD",
                "REPORTED_NOT_FRAUD",
            ]
        with topics.answer_view(topics.settings, horizon=timedelta(seconds=1)) as recent:
            await caught_up(recent)
            assert recent.get("early") is None

    asyncio.run(run())


def test_an_answer_goes_from_the_button_through_kafka_back_to_the_page(topics: Topics) -> None:
    topics.add_cases("case-1")

    async def run() -> None:
        with (
            topics.case_view(topics.settings, horizon=None) as cases,
            topics.answer_view(topics.settings, horizon=None) as answers,
            AnswerPublisher(topics.settings) as publisher,
        ):
            links = Links(topics.settings)
            app = create_app(topics.settings, cases, answers, publisher, links, Metrics())
            await caught_up(answers)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as browser:
                url = links.url("case-1", "fraud")
                opened = await browser.get(url)
                assert opened.status_code == 200
                page = opened.text.split('name="page" value="')[1].split('"')[0]
                pressed = await asyncio.gather(
                    *(browser.post(url, data={"page": page, "answer": answer}) for answer in ("fraud", "not-fraud") * 5)
                )
                assert {response.status_code for response in pressed} == {303}
                shown = {(await browser.get(f"http://site{r.headers['location']}")).text for r in pressed}
                assert len(shown) == 1, "all see the one that was first"
                assert (await browser.get(url)).text == shown.pop()

    asyncio.run(run())


def test_whether_an_answer_is_recorded_that_no_broker_acknowledges_is_unknown_in_bounded_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "DELIVERY_SECONDS", 2)
    nowhere = settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    with AnswerPublisher(nowhere) as publisher:
        started = time.monotonic()
        with pytest.raises(AnswerUnknown, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
            asyncio.run(publisher.publish("REPORTED_FRAUD", transaction(), datetime.now(UTC)))
        assert time.monotonic() - started < 10


class TestProcess:
    @contextmanager
    def run(self, stack: Mapping[str, str], **changes: str) -> Iterator[tuple["subprocess.Popen[str]", int, int]]:
        public, private = free_port(), free_port()
        environment = {
            **os.environ,
            **stack,
            "FRAUDSTREAM_CONFIRMATION_BIND": f"127.0.0.1:{public}",
            "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": f"127.0.0.1:{private}",
        } | changes
        command = [sys.executable, "-m", "fraudstream.site"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process, public, private
            finally:
                if process.poll() is None:
                    process.kill()

    def test_it_gets_ready_serves_and_ends_cleanly_on_sigterm(self, stack: Mapping[str, str]) -> None:
        with self.run(stack) as (process, public, private):
            until = time.monotonic() + 60
            status = 0
            while status != 200 and time.monotonic() < until:
                try:
                    status = httpx.get(f"http://127.0.0.1:{private}/health/ready").status_code
                except httpx.TransportError:
                    time.sleep(0.1)
            assert status == 200
            assert httpx.get(f"http://127.0.0.1:{public}/confirm/forged/fraud").status_code == 404
            assert httpx.get(f"http://127.0.0.1:{public}/metrics").status_code == 404, "figures aren't public"
            assert self.status_of_ten_megabytes(public, Links(Settings()).url("case-1", "fraud")) == 413
            figures = httpx.get(f"http://127.0.0.1:{private}/metrics").text
            assert 'fraudstream_site_refused_links_total{reason="invalid"} 2.0' in figures
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=20)
            assert process.returncode == 0, log

    @staticmethod
    def status_of_ten_megabytes(port: int, link: str) -> int:
        """The status of a POST that announces 10 MB, after a small part of them was sent."""
        with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.putrequest("POST", urlsplit(link).path)
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", "10000000")
            connection.endheaders(b"a" * 8_192)
            return connection.getresponse().status

    def test_an_address_that_is_taken_is_named_with_its_setting(self, stack: Mapping[str, str]) -> None:
        with self.run(stack) as (_, public, _private):
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    httpx.get(f"http://127.0.0.1:{public}/")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            with self.run(stack, FRAUDSTREAM_CONFIRMATION_BIND=f"127.0.0.1:{public}") as (second, _, _):
                _, log = second.communicate(timeout=30)
                assert second.returncode == 1
                assert f"FRAUDSTREAM_CONFIRMATION_BIND is '127.0.0.1:{public}'" in log
                assert "Traceback" not in log

    def test_the_example_key_stops_it_for_any_address_but_loopback(self, stack: Mapping[str, str]) -> None:
        changes = {
            "FRAUDSTREAM_CONFIRMATION_URL": "https://bank.example",
            "FRAUDSTREAM_CONFIRMATION_KEYS": "example-key-of-the-tests",
        }
        with self.run(stack, **changes) as (process, _, _):
            _, log = process.communicate(timeout=30)
            assert process.returncode == 1
            assert "holds an example key" in log
