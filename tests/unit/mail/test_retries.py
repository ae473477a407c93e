"""Deferred mails are retried from topic mail_retry, until they are sent or have failed."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import fastavro
import pytest
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.records import MAIL_RETRY, MAIL_RETRY_WAITS
from fraudstream.mail import retries
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer

from tests.unit.lake.rows import PARTITION, batch
from tests.unit.mail.bench import Bench
from tests.unit.mail.retry_topic import HOUR, MINUTE, NOON, AnySchema, Clock, RetryTopic, greylisting, send


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def topic(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Bench], clock: Clock, request: pytest.FixtureRequest
) -> Iterator[RetryTopic]:
    monkeypatch.setattr(Codec, "for_topic", lambda topic, settings: Codec(topic, AnySchema()))  # type: ignore[arg-type]
    monkeypatch.setattr(retries, "ConfirmedProducer", lambda settings, name: written)
    bench = make(mail_batch_rows=10)
    written: Any = None
    made = RetryTopic(bench, clock)
    made.queue._producer = made  # type: ignore[assignment]
    bench.followed_up = made  # type: ignore[assignment]
    yield made


def test_ten_minutes_of_greylisting_end_in_mails_that_are_sent(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 10 * MINUTE)
    send(topic.bench, 25)
    for _ in range(4):
        clock.now += 5 * MINUTE
        topic.run()
    assert len(topic.statuses()) == 25
    assert {tuple(statuses) for statuses in topic.statuses().values()} == {("deferred", "deferred", "sent")}
    sent = [line for line in topic.bench.log() if line["status"] == "sent"]
    assert {(line["topic"], line["attempts"], line["firstTriedAt"][:19]) for line in sent} == {
        (MAIL_RETRY, 3, "2023-11-14T22:13:20")
    }


def test_a_mail_is_tried_again_whatever_the_server_replied(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 4.7.1 \0 \ud7ff \U0001f4ee later")
    send(topic.bench, 3)
    topic.bench.outbox.answer = lambda mail: ("sent", "250 queued")
    clock.now += 5 * MINUTE
    topic.run()
    assert {tuple(statuses) for statuses in topic.statuses().values()} == {("deferred", "sent")}


@pytest.mark.parametrize(("days", "queued"), [(5, 6), (8, 3)])
def test_a_group_whose_offset_the_brokers_forgot_queues_no_mail_that_the_queue_has_forgotten(
    topic: RetryTopic, clock: Clock, days: int, queued: int
) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later")
    send(topic.bench, 3)
    topic.bench.outbox.answer = lambda mail: ("sent", "250 queued")
    clock.now += 5 * MINUTE
    topic.run()
    clock.now += days * 24 * HOUR
    topic.bench.time_of_day = clock
    send(topic.bench, 3, committed=None)
    assert {tuple(statuses) for statuses in topic.statuses().values()} == {("deferred", "sent")}
    # A mail that is in the topic twice is sent once, as long as the first record is kept.
    assert sum(map(len, topic.partitions)) == queued


def test_nothing_is_tried_before_it_is_due(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later")
    send(topic.bench, 3)
    clock.now += MAIL_RETRY_WAITS[1] - 1
    topic.run()
    assert len(topic.bench.outbox.sent) == 3
    assert sum(topic.committed) == 0
    clock.now += 2
    topic.run()
    assert len(topic.bench.outbox.sent) == 6


def test_the_waits_grow_and_after_the_hours_of_the_setting_the_mail_is_failed(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "452 4.2.2 mailbox full")
    send(topic.bench, 1)
    tried = []
    while not any("failed" in statuses for statuses in topic.statuses().values()):
        before = len(topic.bench.outbox.sent)
        clock.now += 5 * MINUTE
        topic.run()
        if len(topic.bench.outbox.sent) > before:
            tried.append(round((clock.now - NOON) / MINUTE))
        assert clock.now < NOON + 30 * HOUR
    assert tried[:6] == [5, 15, 35, 75, 135, 195]
    assert 24 <= (clock.now - NOON) / HOUR <= 25.1
    (statuses,) = topic.statuses().values()
    assert statuses == ["deferred"] * (len(statuses) - 1) + ["failed"]
    assert topic.bench.log()[-1]["reply"] == "given up after 24 hours: 452 4.2.2 mailbox full"


def test_a_server_that_never_answers_the_content_gets_it_as_often_as_the_setting_says(
    topic: RetryTopic, clock: Clock
) -> None:
    delivery = Delivery(SmtpServer("127.0.0.1", 25), connections=1, attempts=8, stop=lambda: False)
    sent = []

    def answer(mail: Mail) -> tuple[str, str]:
        while not mail.status:
            sent.append(mail)
            delivery.no_reply(mail, "no reply for 600 s")
        return mail.status, mail.reply

    topic.bench.outbox.answer = answer
    send(topic.bench, 1)
    for _ in range(12):
        clock.now += HOUR
        topic.run()
    delivery.close()
    assert len(sent) == 8
    assert list(topic.statuses().values()) == [["deferred", "deferred", "failed"]]
    assert topic.bench.log()[-1]["reply"] == "no reply after the mail was sent: no reply for 600 s"


def test_a_record_from_before_unanswered_tries_were_kept_has_none(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 1)
    send(topic.bench, 1)
    older = json.loads(schema_text(MAIL_RETRY))
    older["fields"] = [one for one in older["fields"] if one["name"] != "unanswered"]
    (at, value), registry = topic.partitions[1][0], AnySchema()
    written = Codec(MAIL_RETRY, registry).decode(value)  # type: ignore[arg-type]
    body = BytesIO()
    fastavro.schemaless_writer(body, older, written)
    topic.partitions[1][0] = (at, struct.pack(">bI", 0, 8) + body.getvalue())
    registry.older[8] = RegisteredSchema(json.dumps(older))
    topic.codec = Codec(MAIL_RETRY, registry)  # type: ignore[arg-type]
    clock.now += 5 * MINUTE
    topic.run()
    assert list(topic.statuses().values()) == [["deferred", "sent"]]
    assert topic.bench.outbox.sent[-1].unanswered == 0


def test_one_that_is_not_due_holds_up_no_other(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later")
    send(topic.bench, 1)
    clock.now += 5 * MINUTE
    topic.run()
    # The first mail now waits ten minutes. A second one is deferred, waits five, and is accepted before the first.
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later") if "C0@" in mail.recipient else ("sent", "250")
    sink = topic.bench.start()
    sink.assigned(PARTITION, 1)
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later")
    sink.write(batch([1]))
    sink.flush()
    topic.bench.outbox.answer = lambda mail: ("sent", "250")
    clock.now += 6 * MINUTE
    topic.run()
    assert sorted(topic.statuses().values()) == [["deferred", "deferred"], ["deferred", "sent"]]


@pytest.fixture
def ahead(topic: RetryTopic, clock: Clock) -> None:
    """The first of four deferred mails was written by a machine whose clock is years ahead."""
    topic.bench.outbox.answer = greylisting(clock, 1)
    send(topic.bench, 4)
    at, value = topic.partitions[1][0]
    record = topic.codec.decode(value)
    years = timedelta(days=2000)
    late = {name: record[name] + years for name in ("dueAt", "firstTriedAt")}
    topic.partitions[1][0] = (at, topic.codec.encode(record | late))


@pytest.mark.usefixtures("ahead")
def test_a_clock_that_runs_ahead_holds_up_no_mail(topic: RetryTopic, clock: Clock) -> None:
    clock.now += 5 * MINUTE - 1
    topic.run()
    assert len(topic.bench.outbox.sent) == 4
    clock.now += 1
    topic.run()
    assert list(topic.statuses().values()) == [["deferred", "sent"]] * 4


@pytest.mark.usefixtures("ahead")
def test_a_clock_that_runs_ahead_keeps_no_mail_from_being_given_up(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = lambda mail: ("deferred", "450 later")
    clock.now += 25 * HOUR
    topic.run()
    assert list(topic.statuses().values()) == [["deferred", "failed"]] * 4


def test_a_retry_that_is_there_twice_is_tried_once(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 1)
    topic.fail_after_writing = KafkaUnavailable("lost")
    with pytest.raises(KafkaUnavailable):
        send(topic.bench, 4, committed=0)
    send(topic.bench, 4, committed=0)
    assert len(topic.partitions[1]) == 8
    clock.now += 5 * MINUTE
    topic.run()
    topic.run()
    assert {tuple(statuses) for statuses in topic.statuses().values()} == {("deferred", "sent")}
    assert len(topic.bench.outbox.sent) == 8


def test_a_crash_of_the_retries_reader_sends_nothing_again(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 10 * MINUTE)
    send(topic.bench, 4)
    clock.now += 5 * MINUTE
    topic.fail_after_writing = KafkaUnavailable("lost")
    with pytest.raises(KafkaUnavailable):
        topic.run()
    topic.run()
    clock.now += 10 * MINUTE
    topic.run()
    assert {tuple(statuses) for statuses in topic.statuses().values()} == {("deferred", "deferred", "sent")}
    assert len(topic.bench.outbox.sent) == 12


def test_the_mail_is_written_as_at_first(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 1)
    send(topic.bench, 2)
    clock.now += 5 * MINUTE
    topic.run()
    first, _, again, _ = (mail.content.split(b"\r\nDate:", 1) for mail in topic.bench.outbox.sent)
    assert first[0] == again[0]
    assert first[1].split(b"\r\n", 1)[1] == again[1].split(b"\r\n", 1)[1]


def test_a_record_that_is_about_nothing_readable_is_failed_alone(topic: RetryTopic, clock: Clock) -> None:
    topic.bench.outbox.answer = greylisting(clock, 1)
    send(topic.bench, 2)
    codec = Codec(MAIL_RETRY, AnySchema())  # type: ignore[arg-type]
    at, value = topic.partitions[1][0]
    topic.partitions[1][0] = (at, codec.encode(codec.decode(value) | {"value": "AAAA"}))
    clock.now += 5 * MINUTE
    topic.run()
    last = {line["messageId"]: line for line in topic.bench.log()}
    assert sorted(line["status"] for line in last.values()) == ["failed", "sent"]
    (failed,) = (line for line in last.values() if line["status"] == "failed")
    assert "non_fraud_transaction[3] offset 0 can't be read" in failed["reply"]
