"""Produces dead letters again to the topic that they come from, each once.

The protocol, numbered as in the code:

1. init_transactions: fences an older redrive of the same topic and aborts its open transaction,
2. read the dead letters and the markers of those that were produced again,
3. read truncated letters' records, so that no transaction is open meanwhile,
4. in a transaction, write each letter's record to its topic, and its marker to the dead-letter topic,
5. commit: the records and their markers become visible together or not at all.

So a crash at any time, or a second redrive, produces nothing twice.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from fraudstream.errors import KafkaUnavailable, ProducerFenced, RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.client.queueing import queue
from fraudstream.kafka.dead_letters.letters import DeadLetter, read_dead_letters
from fraudstream.kafka.produce.transaction import TIMEOUT_SECONDS, abort_reason
from fraudstream.kafka.topic.topic_reader import read_record
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: Limits of a transaction. The brokers abort it after TIMEOUT_SECONDS, in which a slow link must have sent it.
_IN_ONE_TRANSACTION = 500
_BYTES_IN_ONE_TRANSACTION = 5_000_000
_SECONDS = 60
_AGAIN = "then redrive it again"
#: Error codes that concern a single record, with what to do.
_REFUSED = {
    Code.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of topic {topic}, and for more than 2,000,000 bytes "
    f"message.max.bytes in FRAUDSTREAM_KAFKA_PROPERTIES, too; {_AGAIN}",
    Code._UNKNOWN_PARTITION: f"topic {{topic}} has fewer partitions than it had; add them; {_AGAIN}",
    Code.INVALID_RECORD: f"the settings of topic {{topic}} don't allow it; change them; {_AGAIN}",
}
_FENCED = {Code._FENCED, Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_EPOCH}
#: Header of a record that was produced again, with its earlier partition and offset.
REDRIVEN_FROM = "redriven_from"

#: Key, value and headers.
_Record = tuple[bytes | None, bytes | None, Sequence[Any]]


@dataclass
class Redriven:
    """The result of a redrive or of a dry run.

    `produced` has the letters that were (or would be) produced again, `before` those that an earlier redrive produced,
    and `left` the others with the reasons.
    """

    topic: str
    produced: list[DeadLetter] = field(default_factory=list)
    before: list[DeadLetter] = field(default_factory=list)
    left: list[tuple[DeadLetter, str]] = field(default_factory=list)


def redrive(
    settings: Settings,
    topic: str,
    chosen: Callable[[DeadLetter], bool],
    *,
    force: bool = False,
    dry_run: bool = False,
    most: int | None = None,
) -> Redriven:
    """Produces the chosen dead letters of a topic again, with their key, value, partition and headers and one more.

    A letter is left if the client or the brokers refuse its record, or if it is truncated and its record isn't on the
    topic any more.

    :param force: also produce letters that would be dead letters again
    :param dry_run: produce nothing, only return the letters
    :param most: maximum number of letters
    :raises ProducerFenced: another redrive of the topic began
    :raises KafkaUnavailable: a transaction was open for too long; a new redrive continues with its letters
    :raises KafkaError: the brokers or the registry don't answer or refuse; committed letters stay produced
    """
    connection = Connection(settings)
    try:
        producer = None if dry_run else _producer(settings, topic, connection)
        # 2. letters and markers
        plan = _plan(settings, topic, filter(chosen, read_dead_letters(settings, topic)), force=force, most=most)
        if producer is not None:
            letters, plan.produced = plan.produced, []
            _wait_for_consumers(letters)
            for part in _parts(settings, letters, plan):
                _produce(producer, part, plan)
    except KafkaException as error:
        if error.args[0].code() in _FENCED:
            raise ProducerFenced(f"another redrive of topic {topic} fenced this one: {error.args[0].str()}") from error
        raise connection.error(error, doing=f"producing dead letters again to topic {topic}") from error
    return plan


def _producer(settings: Settings, topic: str, connection: Connection) -> Producer:
    producer = Producer(
        settings.producer_config(
            **{
                "transactional.id": f"fraudstream-redrive-{topic}",
                "transaction.timeout.ms": 1000 * TIMEOUT_SECONDS,
                # A record may be as large as the brokers accept, which is more than clients send by default.
                "message.max.bytes": 2_000_000,
                "error_cb": connection.on_error,
            }
        )
    )
    connection.open(producer)
    # 1. fence
    producer.init_transactions(_SECONDS)
    return producer


def _plan(settings: Settings, topic: str, letters: Any, *, force: bool, most: int | None) -> Redriven:
    plan = Redriven(topic)
    codec = Codec.for_topic(topic, settings)
    for letter in letters:
        if letter.redriven_at is not None:
            plan.before.append(letter)
        elif most is not None and len(plan.produced) >= most:
            break
        elif reason := _reason_to_leave(settings, codec, letter, force=force):
            plan.left.append((letter, reason))
        else:
            plan.produced.append(letter)
    return plan


def _reason_to_leave(settings: Settings, codec: Codec, letter: DeadLetter, *, force: bool) -> str:
    """Returns why the record can't be produced again, or why it would be a dead letter again; else an empty string."""
    try:
        value = _record(settings, letter)[1]
        if not force:
            codec.decode(value, int(time.time() * 1000))
    except RecordError as error:
        return str(error)
    return ""


def _wait_for_consumers(letters: Sequence[DeadLetter]) -> None:
    """After an unknown schema, waits until no consumer remembers that the registry didn't know the schema."""
    if any(letter.kind == "unknown schema" for letter in letters):
        log.warning("waiting %d s, for which consumers may remember that a schema was unknown", UNKNOWN_SECONDS)
        time.sleep(UNKNOWN_SECONDS)


def _record(settings: Settings, letter: DeadLetter) -> _Record:
    """Key, value and headers of the letter's record. They are read from its topic if the letter is truncated.

    :raises RecordError: the record is deleted, or the topic was recreated and has another record at this offset
    """
    if not letter.cut:
        return letter.key, letter.value, letter.headers
    message = read_record(settings, letter.partition, letter.offset)
    key, value = message.key(), message.value()
    same = (key or b"").startswith(letter.key or b"") and (value or b"").startswith(letter.value or b"")
    if not same or letter.timestamp not in {None, message.timestamp()[1]}:
        raise RecordError(f"{letter} is another record now: the topic was recreated, and the letter has only a part")
    return key, value, list(message.headers() or [])


def _parts(
    settings: Settings, letters: Sequence[DeadLetter], done: Redriven
) -> Iterator[list[tuple[DeadLetter, _Record]]]:
    """Yields the letters with their records, as many at a time as one transaction has room for.

    A letter whose record is gone is left.
    """
    part: list[tuple[DeadLetter, _Record]] = []
    size = 0
    for letter in letters:
        # 3. truncated letters' records
        try:
            key, value, headers = _record(settings, letter)
        except RecordError as error:
            done.left.append((letter, str(error)))
            continue
        part.append((letter, (key, value, headers)))
        size += len(key or b"") + len(value or b"") + sum(len(content or b"") for _, content in headers)
        if len(part) >= _IN_ONE_TRANSACTION or size >= _BYTES_IN_ONE_TRANSACTION:
            yield part
            part, size = [], 0
    if part:
        yield part


def _produce(producer: Any, part: Sequence[tuple[DeadLetter, _Record]], done: Redriven) -> None:
    """Produces letters in one transaction. If a record is refused, uses several, so that only this record is left.

    The brokers refuse too large a record together with the small records that the client sends in the same batch.
    """
    try:
        _produce_together(producer, part)
    except RecordError as error:
        if len(part) == 1:
            done.left.append((part[0][0], str(error)))
            return
        half = len(part) // 2
        _produce(producer, part[:half], done)
        _produce(producer, part[half:], done)
    else:
        done.produced += [letter for letter, _ in part]
        log.info("%d dead letters are produced again", len(part))


def _produce_together(producer: Any, part: Sequence[tuple[DeadLetter, _Record]], *, after_refused: bool = True) -> None:
    failed: list[Any] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error)

    # 4. records and markers
    producer.begin_transaction()
    begun = time.monotonic()
    try:
        for letter, (key, value, headers) in part:
            origin = (REDRIVEN_FROM, f"{letter.partition} offset {letter.offset}".encode())
            queue(
                producer,
                letter.partition.topic,
                seconds=_SECONDS,
                partition=letter.partition.number,
                key=key,
                value=value,
                headers=[*headers, origin],
                on_delivery=delivered,
            )
            queue(producer, seconds=_SECONDS, **letter.to_marker(int(time.time() * 1000)), on_delivery=delivered)
        # If a record is refused during the commit, the commit may wait until its timeout. If it is refused before, the
        # commit fails with the reason.
        while len(producer) and not failed:
            producer.poll(0.1)
        # 5. visible together
        producer.commit_transaction(_SECONDS)
    except BaseException as error:
        age = time.monotonic() - begun
        reason = abort_reason(producer, error.args[0]) if isinstance(error, KafkaException) else None
        with suppress(KafkaException):  # brokers that the abort doesn't reach end the transaction by themselves
            producer.abort_transaction(10)
        if reason is None:
            raise
        topic = part[0][0].partition.topic
        # The brokers also fence a producer whose transaction they aborted because it was open for too long.
        if reason.code() in _FENCED and age >= TIMEOUT_SECONDS:
            raise KafkaUnavailable(
                f"a transaction with {len(part)} dead letters of topic {topic} was open for {age:.0f} s, and the "
                f"brokers end it after {TIMEOUT_SECONDS} s: {reason.str()}. Is the network or a broker slow? A new "
                f"redrive continues with these letters"
            ) from error
        if reason.code() in _REFUSED:
            raise RecordError(f"{reason.str()}; {_REFUSED[reason.code()].format(topic=topic)}") from error
        # After a refused record the client's next transaction fails, too, as its sequence numbers have a gap.
        if after_refused and reason.code() == Code.OUT_OF_ORDER_SEQUENCE_NUMBER:
            _produce_together(producer, part, after_refused=False)
        else:
            raise KafkaException(reason) from error
