"""Dead letters are produced again once each, wherever a redrive is interrupted, and with several redrives at once."""

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaRefused, KafkaUnavailable, ProducerFenced, RecordError
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS
from fraudstream.kafka.dead_letters import redrive as module
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.dead_letters.redrive import REDRIVEN_FROM
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings

from tests.unit.kafka.dead_letters.memory_redrive import ALL, Brokers, Killed, Producer, Stored, produced, run


def test_a_record_is_produced_as_it_was_to_where_it_was(brokers: Brokers) -> None:
    run()
    assert produced(brokers) == ALL
    for record in brokers.records:
        number = int(record["value"][1:])
        assert (record["key"], record["partition"]) == (b"k%d" % number, number % 3)
        assert record["headers"] == [
            ("h", b"%d" % number),
            (REDRIVEN_FROM, f"{FRAUD_TRANSACTION}[{number % 3}] offset {number}".encode()),
        ]


@pytest.mark.parametrize("steps", range(22))
def test_a_redrive_that_is_killed_anywhere_loses_and_doubles_nothing(brokers: Brokers, steps: int) -> None:
    brokers.steps_left = steps
    with pytest.raises(Killed):
        run()
    brokers.steps_left = 10**9
    again = run()
    assert produced(brokers) == ALL
    assert len(again.produced) + len(again.before) == 7
    assert run().produced == []
    assert produced(brokers) == ALL


def test_of_two_redrives_at_once_the_older_one_is_fenced(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    read = brokers.read

    def while_another_one_runs(settings: Settings, topic: str) -> list[DeadLetter]:
        letters = read(settings, topic)
        monkeypatch.setattr(module, "read_dead_letters", read)
        run()
        return letters

    monkeypatch.setattr(module, "read_dead_letters", while_another_one_runs)
    with pytest.raises(ProducerFenced, match=FRAUD_TRANSACTION):
        run()
    assert produced(brokers) == ALL


def test_what_would_be_a_dead_letter_again_is_left_unless_forced(brokers: Brokers) -> None:
    brokers.invalid = {b"v2"}
    done = run()
    assert [(letter.offset, why) for letter, why in done.left] == [(2, "column amount: found '1'")]
    assert produced(brokers) == [value for value in ALL if value != b"v2"]
    assert [letter.offset for letter in run(force=True).produced] == [2]
    assert produced(brokers) == ALL


def test_a_dry_run_and_a_choice_and_a_limit(brokers: Brokers) -> None:
    assert len(run(dry_run=True).produced) == 7
    assert brokers.records == []
    run(chosen=lambda letter: letter.partition.number == 1, most=1)
    assert produced(brokers) == [b"v1"]


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (RecordError("offset 3 can't be read any more"), "can't be read any more"),
        (Stored(b"another record", 5), "another record now"),
        (Stored(b"v3 and all the rest", 6), "another record now"),
        (Stored(b"v3 and all the rest", 5), ""),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_large_record_that_is_gone_is_left_and_the_others_are_produced(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch, there: Any, why: str, force: bool
) -> None:
    def read_record(settings: Settings, partition: Partition, offset: int) -> Stored:
        if isinstance(there, Exception):
            raise there
        return there

    monkeypatch.setattr(module, "read_record", read_record)
    brokers.letters[3] = replace(brokers.letters[3], cut="value of 1,000,000 bytes")
    done = run(force=force)
    assert [(letter.offset, why in reason) for letter, reason in done.left] == ([(3, True)] if why else [])
    others = [value for value in ALL if value != b"v3"]
    assert produced(brokers) == sorted([*others, *([] if why else [b"v3 and all the rest"])])


def test_a_right_that_is_missing_is_no_other_redrive(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(producer: Producer, seconds: float) -> None:
        raise KafkaException(Code(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "not authorized", fatal=True))

    monkeypatch.setattr(Producer, "init_transactions", refused)
    with pytest.raises(KafkaRefused, match=r"may not.*grant the right"):
        run()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (Code.MSG_SIZE_TOO_LARGE, f"raise max.message.bytes of topic {FRAUD_TRANSACTION}"),
        (Code._UNKNOWN_PARTITION, f"topic {FRAUD_TRANSACTION} has fewer partitions"),
        (Code.INVALID_RECORD, f"settings of topic {FRAUD_TRANSACTION}"),
    ],
)
@pytest.mark.parametrize("who", ["refused_by_client", "refused_by_brokers"])
@pytest.mark.parametrize("refused", [{b"v1"}, {b"v0", b"v4", b"v5"}, set(ALL)], ids=len)
def test_a_record_that_is_refused_is_left_and_the_others_are_produced_once_each(
    brokers: Brokers, who: str, refused: set[bytes], reason: int, advice: str
) -> None:
    setattr(brokers, who, refused)
    brokers.reason = reason
    done = run()
    assert {letter.value for letter, why in done.left if advice in why} == refused
    assert produced(brokers) == sorted(letter.value for letter in done.produced) == sorted(set(ALL) - refused)
    setattr(brokers, who, set())
    run()
    assert produced(brokers) == ALL


def test_an_error_that_is_about_no_record_ends_the_redrive_and_the_next_one_goes_on(brokers: Brokers) -> None:
    brokers.refused_by_brokers = {b"v4"}
    brokers.reason = Code.NOT_ENOUGH_REPLICAS
    with pytest.raises(KafkaUnavailable, match=f"producing dead letters again to topic {FRAUD_TRANSACTION}"):
        run()
    assert produced(brokers) == ALL[:3]
    brokers.refused_by_brokers = set()
    run()
    assert produced(brokers) == ALL


def test_records_of_a_schema_that_was_unknown_wait_until_no_consumer_remembers_that(brokers: Brokers) -> None:
    run(most=1)
    assert brokers.slept == []
    brokers.letters[2] = replace(brokers.letters[2], reason="unknown schema: the schema registry has no schema id 9")
    run(dry_run=True)
    assert brokers.slept == []
    brokers.invalid = {b"v2"}
    run(chosen=lambda letter: letter.offset == 2)
    assert brokers.slept == []
    brokers.invalid = set()
    run()
    assert brokers.slept == [UNKNOWN_SECONDS]
    assert produced(brokers) == ALL
