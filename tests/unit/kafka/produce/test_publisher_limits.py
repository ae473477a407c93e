"""How much of a file a run produces: up to its limit or a stop, at a maximum rate; the next run continues there."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from fraudstream.kafka.produce import publisher
from fraudstream.kafka.produce.progress import IngestProgress
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.records import FRAUD_TRANSACTION, INGEST_PROGRESS, NON_FRAUD_TRANSACTION

from tests.integration.pipeline import good_row, paysim
from tests.unit.kafka.produce.memory_producer import FakeProducer, publishing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with seven rows, two of which are frauds."""
    return paysim([good_row(number, fraud=number in {2, 5}) for number in range(7)], tmp_path)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_a_limit_is_met_exactly_and_the_file_is_not_done(producer: FakeProducer, file: Path, limit: int) -> None:
    progress = publishing(file, limit=limit).run()
    assert (progress.row, progress.fraud + progress.nonFraud, progress.done) == (limit, limit, False)
    assert producer.rows(NON_FRAUD_TRANSACTION) + producer.rows(FRAUD_TRANSACTION) == limit
    assert producer.state == "ready"


def test_a_limit_behind_the_end_is_none(producer: FakeProducer, file: Path) -> None:
    progress = publishing(file, limit=8).run()
    assert (progress.row, progress.done) == (7, True)


def test_the_next_run_goes_on_behind_the_limit(
    producer: FakeProducer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publishing(file, limit=3).run()
    producer.state = "new"
    monkeypatch.setattr(publisher, "last_progress", lambda settings, codec, beginning: first)
    last = publishing(file).run()
    assert (last.row, last.fraud, last.nonFraud, last.done) == (7, 2, 5, True)
    assert (producer.rows(FRAUD_TRANSACTION), producer.rows(NON_FRAUD_TRANSACTION)) == (2, 5)


@pytest.mark.parametrize(("row", "limit"), [(7, None), (3, 3), (4, 3)])
def test_what_is_produced_already_is_not_produced_again(
    producer: FakeProducer, file: Path, monkeypatch: pytest.MonkeyPatch, row: int, limit: int | None
) -> None:
    def there(settings: object, codec: object, beginning: IngestProgress) -> IngestProgress:
        return replace(beginning, row=row, byte=10**6, done=limit is None)

    monkeypatch.setattr(publisher, "last_progress", there)
    assert publishing(file, limit=limit).run().row == row
    assert producer.visible == []


def test_a_stop_ends_the_run_with_what_is_at_hand_committed(
    producer: FakeProducer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = publishing(file)
    send = Publisher._send

    def stopped(self: Publisher, *arguments: object) -> IngestProgress:
        running.stop()
        return send(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Publisher, "_send", stopped)
    progress = running.run()
    assert (progress.row, progress.done) == (2, False)
    assert producer.rows(NON_FRAUD_TRANSACTION) + producer.rows(FRAUD_TRANSACTION) == 2
    assert producer.rows(INGEST_PROGRESS) == 1


def test_at_a_pace_each_piece_is_visible_at_once_and_none_comes_early(producer: FakeProducer, file: Path) -> None:
    started = time.monotonic()
    publishing(file, rows_per_second=100).run()
    assert time.monotonic() - started >= 0.06
    assert producer.rows(INGEST_PROGRESS) >= 4
