"""The producer on real brokers: each row exactly once for a read_committed reader, even if any process is killed."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer
from fraudstream.dataset import open_source
from fraudstream.dataset.generator import plan, write_file
from fraudstream.errors import DatasetNotFound, KafkaError, TooManyRejected, UnknownHeader
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.produce.progress import IngestProgress, last_progress
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.produce.transaction import transactional
from fraudstream.kafka.records import FRAUD_TRANSACTION, INGEST_DEAD_LETTER, INGEST_PROGRESS, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

from tests.integration.pipeline import decoded, good_row, paysim, publisher, records

pytestmark = pytest.mark.integration

_PRODUCE = """
import sys
from fraudstream.dataset import open_source
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.settings import Settings
Publisher(Settings(), open_source(sys.argv[1], None), rows_per_second=int(sys.argv[2])).run()
"""


def _file(path: Path) -> bytes:
    return open_source(str(path), None).identity.encode()


def prefix(path: Path) -> str:
    return open_source(str(path), None).id_prefix


def test_rows_are_split_by_is_fraud_and_keyed_by_customer(settings: Settings, tmp_path: Path) -> None:
    path = paysim([good_row(n, fraud=n % 2) for n in range(1, 7)], tmp_path)
    progress = publisher(settings, path).run()
    assert (progress.fraud, progress.nonFraud, progress.rejected, progress.done) == (3, 3, 0, True)
    for topic, fraud in ((FRAUD_TRANSACTION, 1), (NON_FRAUD_TRANSACTION, 0)):
        rows = decoded(settings, topic, prefix(path))
        assert {row["isFraud"] for row in rows} == {fraud}
        assert sorted(row["amount"] for row in rows) == [n * 100 + 25 for n in range(1, 7) if n % 2 == fraud]
        keys = {m.value(): m.key() for m in records(settings, topic)}
        assert set(keys.values()) >= {row["nameOrig"].encode() for row in rows}


def test_a_file_that_is_produced_already_adds_nothing(settings: Settings, tmp_path: Path) -> None:
    path = paysim([good_row(n) for n in range(1, 4)], tmp_path)
    publisher(settings, path).run()
    assert publisher(settings, path).run().done
    assert len(decoded(settings, NON_FRAUD_TRANSACTION, prefix(path))) == 3


def test_a_limit_is_exact_and_the_next_run_goes_on_after_it(settings: Settings, tmp_path: Path) -> None:
    path = paysim([good_row(n) for n in range(1, 12)], tmp_path)
    for limit, expected in ((4, 4), (4, 4), (9, 9), (None, 11)):
        assert publisher(settings, path, limit=limit).run().row == expected
        assert len(decoded(settings, NON_FRAUD_TRANSACTION, prefix(path))) == expected


def test_the_commit_of_the_last_rows_says_that_the_file_is_done(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudstream.kafka.produce.publisher._CHUNK_ROWS", 2)
    monkeypatch.setattr("fraudstream.kafka.produce.transaction._ROWS", 4)
    path = paysim([good_row(n) for n in range(1, 9)], tmp_path)
    publisher(settings, path).run()
    codec = Codec.for_topic(INGEST_PROGRESS, settings)
    positions = [codec.decode(m.value()) for m in records(settings, INGEST_PROGRESS) if m.key() == _file(path)]
    assert [(position["row"], position["done"]) for position in positions] == [(4, False), (8, True)]


def test_rows_that_dont_check_are_dead_letters_with_line_and_reason(settings: Settings, tmp_path: Path) -> None:
    bad = [
        "1,TRANSFER,abc,C1,1.00,0.00,C2,0.00,1.00,0,0",
        "1,TRANSFER,-5.00,C1,1.00,0.00,C2,0.00,1.00,0,0",
        "1,TRANSFER,5.001,C1,1.00,0.00,C2,0.00,1.00,0,0",
        "1,GIFT,5.00,C1,1.00,0.00,C2,0.00,1.00,0,0",
        "1,TRANSFER,5.0",
    ]
    path = paysim([good_row(1), *bad, good_row(2)], tmp_path)
    progress = publisher(settings, path, max_rejected_share=1.0).run()
    assert (progress.nonFraud, progress.rejected, progress.row) == (2, 5, 7)
    letters = [m for m in records(settings, INGEST_DEAD_LETTER) if dict(m.headers())["source"] == str(path).encode()]
    assert [m.value().decode() for m in letters] == bad
    found = [dict(m.headers()) for m in letters]
    assert [headers["line"] for headers in found] == [b"3", b"4", b"5", b"6", b"7"]
    reasons = [headers["reason"].decode() for headers in found]
    for reason, said in zip(reasons, ["amount", "amount", "amount", "type", "columns"], strict=True):
        assert said in reason


def test_too_many_rejected_rows_fail_the_run_and_a_higher_share_goes_on(settings: Settings, tmp_path: Path) -> None:
    path = paysim([good_row(1), "rubbish", good_row(2)], tmp_path)
    with pytest.raises(TooManyRejected, match="max_rejected_share"):
        publisher(settings, path, max_rejected_share=0.1).run()
    assert publisher(settings, path, max_rejected_share=0.5).run().done
    assert len(decoded(settings, NON_FRAUD_TRANSACTION, prefix(path))) == 2


def test_a_missing_file_and_an_unknown_header_send_nothing(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"none\.csv"):
        open_source(str(tmp_path / "none.csv"), None)
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UnknownHeader, match=r"other\.csv"):
        publisher(settings, path).run()


def test_a_newer_run_fences_an_older_one(settings: Settings, tmp_path: Path) -> None:
    path = paysim([good_row(n) for n in range(1, 400)], tmp_path)
    # A second between its commits, so that the newer run starts between two of them, not during one.
    older = Publisher(settings, open_source(str(path), None), rows_per_second=1)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(older.run)
        while not decoded(settings, NON_FRAUD_TRANSACTION, prefix(path)):
            time.sleep(0.1)
        publisher(settings, path).run()
        with pytest.raises(KafkaError, match="newer run"):
            running.result(30)
    assert len(decoded(settings, NON_FRAUD_TRANSACTION, prefix(path))) == 399


def test_killed_at_random_moments_every_row_is_there_once(
    settings: Settings, stack: Mapping[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "killed.csv"
    write_file(path, plan(6_000, 60), time.time_ns(), lambda rows: None)  # other content in each run of the test
    environment = {**os.environ, **stack}
    command = [sys.executable, "-c", _PRODUCE, str(path), "1500"]
    for seconds in (1.9, 2.3, 2.8):
        process = subprocess.Popen(command, env=environment)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command[:-1], "0"], env=environment, check=True, timeout=120)
    found = Counter(
        row["idTransaction"]
        for topic in (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION)
        for row in decoded(settings, topic, prefix(path))
    )
    assert found == Counter(f"{prefix(path)}-{number:09d}" for number in range(6_000))


def test_an_open_transaction_of_another_source_does_not_hide_the_last_position(settings: Settings) -> None:
    source, codec = f"/{uuid.uuid4().hex}.csv", Codec.for_topic(INGEST_PROGRESS, settings)
    written = IngestProgress(source, "a.csv", byte=50, row=5)
    producers = []
    for key, value in (("another source", b""), (source, codec.encode(written.to_record()))):
        producer = Producer(settings.producer_config(**transactional(key + source)))
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(INGEST_PROGRESS, key=key, value=value)
        producer.flush()
        producers.append(producer)
    other, ours = producers
    ours.commit_transaction(30)  # after the record of the other producer, whose transaction stays open
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(last_progress, settings, codec, IngestProgress(source, "./a.csv"))
        time.sleep(1)
        assert not found.done()
        other.abort_transaction(30)
        assert found.result(30) == written
