"""A redrive's transactions are short, and the error of one that was open for too long says so."""

from dataclasses import replace

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaUnavailable, ProducerFenced
from fraudstream.kafka.dead_letters import redrive as module
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

from tests.unit.kafka.dead_letters.memory_redrive import ALL, Brokers, Producer, Stored, produced, run


def test_no_transaction_is_open_while_records_are_read(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_record(settings: Settings, partition: Partition, offset: int) -> Stored:
        assert not brokers.in_transaction
        return Stored(b"v%d" % offset, 5)

    monkeypatch.setattr(module, "read_record", read_record)
    brokers.letters = [replace(each, key=b"k3", cut="value of 1,000,000 bytes") for each in brokers.letters]
    assert len(run().produced) == 7
    assert produced(brokers) == ALL


def test_large_records_share_a_transaction_only_up_to_its_size(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_ONE_TRANSACTION", 500)
    brokers.letters = [replace(each, value=bytes(1_000_000)) for each in brokers.letters]
    assert len(run().produced) == 7
    assert brokers.committed == [5, 2]


@pytest.mark.parametrize("code", [Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED, Code._FENCED])
@pytest.mark.parametrize(("seconds", "expected"), [(61, KafkaUnavailable), (5, ProducerFenced)])
def test_a_transaction_that_the_brokers_ended_after_its_timeout_was_not_fenced_by_another_redrive(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch, code: int, seconds: float, expected: type[Exception]
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def refused(producer: Producer, _: float) -> None:
        clock[0] += seconds
        raise KafkaException(Code(code, "the epoch is too old"))

    with monkeypatch.context() as patched:
        patched.setattr(Producer, "commit_transaction", refused)
        with pytest.raises(expected) as error:
            run()
    assert ("was open for 61 s" in str(error.value)) == (seconds == 61)
    run()
    assert produced(brokers) == ALL
