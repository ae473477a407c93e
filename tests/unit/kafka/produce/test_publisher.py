"""The producer's transactions: visible data are complete, and no failure leaves a transaction open."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.dataset.reader import Chunk, read_chunks
from fraudstream.errors import DatasetError, KafkaUnavailable, ProducerFenced, TooManyRejected
from fraudstream.kafka.produce import publisher, rejected_rows, transaction
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.records import FRAUD_TRANSACTION, INGEST_DEAD_LETTER, INGEST_PROGRESS, NON_FRAUD_TRANSACTION

from tests.integration.pipeline import good_row, paysim
from tests.unit.dataset.test_files import FILES, READ, REFUSED
from tests.unit.kafka.produce.memory_producer import FakeProducer, publishing


def after_the_first(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Calls `then` before the second chunk is read."""

    def chunks(*arguments: object, **options: object) -> Iterator[Chunk]:
        for number, chunk in enumerate(read_chunks(*arguments, **options)):  # type: ignore[arg-type]
            if number == 1:
                then()
            yield chunk

    monkeypatch.setattr(publisher, "read_chunks", chunks)


def test_a_source_that_breaks_off_leaves_no_transaction_open(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> None:
        raise DatasetError("the file breaks off")

    after_the_first(monkeypatch, breaks)
    with pytest.raises(DatasetError, match="breaks off"):
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert (producer.state, producer.visible, producer.aborted) == ("ready", [], 1)


@pytest.mark.parametrize("call", ["produce", "commit_transaction"])
def test_brokers_that_refuse_leave_no_transaction_open_and_the_reason_is_told(
    producer: FakeProducer, tmp_path: Path, call: str
) -> None:
    producer.failures[call] = Code(Code.NOT_ENOUGH_REPLICAS, "two replicas are away")
    with pytest.raises(KafkaUnavailable, match="two replicas are away"):
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert (producer.state, producer.visible, producer.aborted) == ("ready", [], 1)


def test_a_worker_that_ends_in_the_middle_leaves_no_transaction_open(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Publisher, "_commit", ends)
    with pytest.raises(KeyboardInterrupt):
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert (producer.state, producer.aborted) == ("ready", 1)


@pytest.mark.parametrize("call", ["init_transactions", "begin_transaction", "produce", "commit_transaction"])
def test_a_fenced_producer_says_so_and_is_not_tried_again(producer: FakeProducer, tmp_path: Path, call: str) -> None:
    producer.failures[call] = Code(Code._FENCED, "fenced by a newer instance", fatal=True)
    with pytest.raises(ProducerFenced, match="newer run") as raised:
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert not raised.value.retryable
    assert producer.visible == []


def test_a_fence_that_was_met_before_is_still_told_as_one(producer: FakeProducer, tmp_path: Path) -> None:
    producer.reason = Code(Code._FENCED, "fenced by a newer instance", fatal=True)
    producer.queue = lambda topic, count: _broken(producer)  # type: ignore[method-assign]
    with pytest.raises(ProducerFenced, match="newer run"):
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()


def _broken(producer: FakeProducer) -> None:
    producer.state = "fenced"
    raise KafkaException(Code(Code._FATAL))


def test_a_transaction_that_the_brokers_ended_for_its_age_may_be_tried_again(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "TIMEOUT_SECONDS", 0)
    producer.failures["commit_transaction"] = Code(Code._FENCED, "fenced", fatal=True)
    with pytest.raises(KafkaUnavailable) as raised:
        publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert raised.value.retryable


def test_a_commit_that_is_due_does_not_wait_for_a_late_chunk(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_SECONDS", 0.05)
    committed = threading.Event()
    commit = producer.commit_transaction

    def commits(seconds: float) -> None:
        commit(seconds)
        committed.set()

    monkeypatch.setattr(producer, "commit_transaction", commits)
    in_time: list[bool] = []
    after_the_first(monkeypatch, lambda: in_time.append(committed.wait(10)))
    progress = publishing(paysim([good_row(n, fraud=n % 2) for n in range(6)], tmp_path)).run()
    assert in_time == [True]
    assert progress.done
    assert (producer.rows(NON_FRAUD_TRANSACTION), producer.rows(FRAUD_TRANSACTION)) == (3, 3)
    assert producer.state == "ready"


def test_the_last_rows_and_the_end_of_the_file_are_one_commit(producer: FakeProducer, tmp_path: Path) -> None:
    publishing(paysim([good_row(n) for n in range(6)], tmp_path)).run()
    assert producer.rows(INGEST_PROGRESS) == 1


def test_too_many_rejected_rows_later_on_are_committed_before_the_run_fails(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected_rows, "_BEGINNING_ROWS", 4)
    monkeypatch.setattr(rejected_rows, "_SHARE_ROWS", 4)
    path = paysim([*map(good_row, range(6)), "rubbish", *map(good_row, range(7, 20))], tmp_path)
    with pytest.raises(TooManyRejected, match=r"1 of 8 rows .* in line 8: 1 columns\. They are in .* after row 8"):
        publishing(path, max_rejected_share=0.1).run()
    assert (producer.state, producer.aborted) == ("ready", 0)
    assert producer.rows(NON_FRAUD_TRANSACTION) == 7


@pytest.mark.parametrize("rows_per_second", [0, 4])
def test_a_file_whose_first_rows_fail_is_refused_before_any_is_sent(
    producer: FakeProducer, tmp_path: Path, rows_per_second: int
) -> None:
    bad = [good_row(number).replace("TRANSFER", "GIFT") for number in range(3)]
    path = paysim([*map(good_row, range(9)), *bad, "rubbish"], tmp_path)
    with pytest.raises(
        TooManyRejected, match=r"4 of 13 rows .* 3 rows: column type: .* in line 11: 'GIFT'\. 1 row: col"
    ):
        publishing(path, rows_per_second=rows_per_second).run()
    assert producer.visible == []


def test_a_share_of_1_produces_whatever_is_rejected_and_names_the_reasons(
    producer: FakeProducer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = paysim([good_row(1), "rubbish", "", "rubbish", good_row(2).replace("2.25", "x")], tmp_path)
    progress = publishing(path, max_rejected_share=1.0).run()
    assert (progress.row, progress.rejected, progress.blank, progress.done) == (4, 3, 1, True)
    said = [record.message for record in caplog.records if "rejected: " in record.message]
    assert "2 rows: columns: expected 11" in said[0]
    assert "1 row: column amount: expected a decimal" in said[1]
    assert said[1].endswith("first in line 6: 'x'")


@pytest.mark.parametrize("name", READ)
def test_a_file_that_people_have_is_produced_whole(producer: FakeProducer, name: str) -> None:
    rows, frauds, _, _ = READ[name]
    progress = publishing(FILES / name).run()
    assert (progress.row, progress.fraud, progress.rejected, progress.done) == (rows, frauds, 0, True)
    assert (producer.rows(NON_FRAUD_TRANSACTION), producer.rows(FRAUD_TRANSACTION)) == (rows - frauds, frauds)


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_sent_of_a_file_that_is_refused(producer: FakeProducer, name: str) -> None:
    error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        publishing(FILES / name).run()
    assert producer.visible == []


def test_more_rejected_rows_than_the_client_has_room_for_wait_for_the_brokers(
    producer: FakeProducer, tmp_path: Path
) -> None:
    producer.room = 2
    publishing(paysim([good_row(0), *["rubbish"] * 7], tmp_path), max_rejected_share=1).run()
    assert (producer.rows(INGEST_DEAD_LETTER), producer.rows(NON_FRAUD_TRANSACTION)) == (7, 1)
    assert producer.rows(INGEST_PROGRESS) == 1


def test_rejected_rows_that_brokers_never_take_fail_the_run_with_their_topic(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer.room, producer.brokers_answer = 2, False
    monkeypatch.setattr(publisher, "TIMEOUT_SECONDS", 0)
    with pytest.raises(KafkaUnavailable, match=rf"{INGEST_DEAD_LETTER} got no room .* 2 others wait .* A new run"):
        publishing(paysim([good_row(0), *["rubbish"] * 7], tmp_path), max_rejected_share=1).run()
    assert (producer.state, producer.visible, producer.aborted) == ("ready", [], 1)
