"""Invalid records and stopped parts: each gives a clear error or a dead letter, and nothing is lost."""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from fraudstream.dataset import open_source
from fraudstream.errors import SchemaRegistryError
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import MAILS, TRANSACTIONS
from fraudstream.settings import Settings

from local.stack.environment import LOGS, STACK
from local.stack.parts import stack_parts
from local.stack.ports import Ports
from local.supervisor.control import Control
from tests.integration.pipeline import good_row, in_lake, lake_consumer, mail_consumer, paysim, publisher, records

pytestmark = pytest.mark.integration


@pytest.fixture
def control() -> Iterator[Control]:
    """Controls the stack's parts; all run again afterwards."""
    control = Control(STACK, LOGS)
    yield control
    control.up(stack_parts(print), lambda parts: None)


def test_a_poison_message_is_a_dead_letter_and_the_stream_goes_on(
    settings: Settings, lake: Store, tmp_path: Path
) -> None:
    poison = f"poison-{uuid.uuid4()}".encode()
    producer = Producer(settings.kafka_config())
    producer.produce(NON_FRAUD_TRANSACTION, key=b"C1", value=poison)
    assert producer.flush(30) == 0
    path = paysim([good_row(n) for n in range(1, 6)], tmp_path)
    publisher(settings, path).run()
    lake_consumer(settings, lake, NON_FRAUD_TRANSACTION).run()
    letters = [m for m in records(settings, dead_letter_topic(NON_FRAUD_TRANSACTION)) if m.value() == poison]
    assert len(letters) == 1
    headers = dict(letters[0].headers())
    assert headers["topic"] == NON_FRAUD_TRANSACTION.encode()
    there = {(m.partition(), m.offset()) for m in records(settings, NON_FRAUD_TRANSACTION) if m.value() == poison}
    assert (int(headers["partition"]), int(headers["offset"])) in there
    assert b"first byte" in headers["reason"]
    assert len(in_lake(lake, TRANSACTIONS, open_source(str(path), None).id_prefix)) == 5


def test_mail_waits_for_an_smtp_server_that_is_down_and_the_lake_doesnt(
    settings: Settings, lake: Store, control: Control, tmp_path: Path
) -> None:
    port = Ports.from_environment()["smtp"]
    path = paysim([good_row(n, fraud=1) for n in range(1, 6)], tmp_path)
    prefix = open_source(str(path), None).id_prefix
    mail_consumer(settings, lake, FRAUD_TRANSACTION, port, threading.Event()).run()  # records that other tests left
    control.command("stop", "mail")
    publisher(settings, path).run()
    mailing = threading.Thread(
        target=mail_consumer(settings, lake, FRAUD_TRANSACTION, port, threading.Event()).run, daemon=True
    )
    mailing.start()
    started = time.monotonic()
    lake_consumer(settings, lake, FRAUD_TRANSACTION).run()
    assert len(in_lake(lake, "fraud_confirmation", prefix)) == 5
    time.sleep(max(0.0, 10 - (time.monotonic() - started)))
    assert mailing.is_alive()
    assert in_lake(lake, MAILS, prefix) == []
    control.command("start", "mail")
    mailing.join(60)
    assert not mailing.is_alive()
    assert [status for _, status in in_lake(lake, MAILS, prefix, "status")] == ["sent"] * 5


def test_a_registry_that_is_down_at_the_start_is_named_and_nothing_is_lost(
    settings: Settings, lake: Store, control: Control, tmp_path: Path
) -> None:
    path = paysim([good_row(n) for n in range(1, 4)], tmp_path)
    prefix = open_source(str(path), None).id_prefix
    control.command("stop", "schema-registry")
    with pytest.raises(SchemaRegistryError, match="FRAUDSTREAM_SCHEMA_REGISTRY_URL"):
        publisher(settings, path).run()
    control.command("start", "schema-registry")
    control.up(stack_parts(print), lambda parts: None)
    publisher(settings, path).run()
    control.command("stop", "schema-registry")
    with pytest.raises(SchemaRegistryError, match=settings.schema_registry_url):
        lake_consumer(settings, lake, NON_FRAUD_TRANSACTION).run()
    control.up(stack_parts(print), lambda parts: None)
    lake_consumer(settings, lake, NON_FRAUD_TRANSACTION).run()
    assert len(in_lake(lake, TRANSACTIONS, prefix)) == 3
