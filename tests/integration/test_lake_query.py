"""Queries in a loop while processes compact the queried days, some of which are killed."""

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import pytest
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.query.query import query
from fraudstream.lake.query.view import open_view
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from isal import igzip

from tests.fakes.settled import settle
from tests.integration.forks import Run, forking
from tests.integration.pipeline import with_tables
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAYS = [date(2023, 10, 7) + timedelta(days=number) for number in range(20)]
OBJECTS, ROWS = 6, 50


@pytest.fixture
def lake(stack: Mapping[str, str]) -> Iterator[Lake]:
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stack["STORAGE_EMULATOR_HOST"]},
    )
    bucket = client.create_bucket(f"test-query-{uuid.uuid4().hex[:12]}")
    made = with_tables(Store(client, bucket.name))
    yield made
    made.tables.catalog.drop_table((made.tables.namespace, names.TRANSACTIONS))
    bucket.delete(force=True)


def fill(store: Store) -> None:
    """Writes twenty days with six objects each to one topic-partition."""
    partition = Partition(NON_FRAUD_TRANSACTION, 0)
    for number, day in enumerate(DAYS):
        for start in range(number * OBJECTS * ROWS, (number + 1) * OBJECTS * ROWS, ROWS):
            stamps = [MIDNIGHT_MS + number * DAY_MS] * ROWS
            made = batch(range(start, start + ROWS), timestamps=stamps, partition=partition)
            store.create(
                names.object_name(names.TRANSACTIONS, day, *partition, start),
                igzip.compress(bytes(lines.transaction(made))),
                content_type=GZIP,
                metadata=Link(partition, start, start, start + ROWS, totals_of(made.offsets, made.rows)).metadata(),
            )
    settle(store, names.TRANSACTIONS, partition, len(DAYS) * OBJECTS * ROWS)


@pytest.fixture
def lake_program(stack: Mapping[str, str]) -> Iterator[Run]:
    """Runs of ``python -m fraudstream.lake``."""
    with forking(os.environ, "fraudstream.lake.__main__") as run:
        yield run


def test_every_query_counts_every_row_once_during_twenty_compactions_of_which_some_are_killed(
    lake: Lake, lake_program: Run
) -> None:
    fill(lake.store)
    expected = (len(DAYS) * OBJECTS * ROWS, len(DAYS) * OBJECTS * ROWS, len(DAYS))
    sql = 'SELECT count(*), count(DISTINCT "offset"), count(DISTINCT dt) FROM transaction'
    wrong: list[tuple[int, ...]] = []
    done = threading.Event()
    asked = 0

    def ask() -> tuple[int, ...]:
        with query(lake, sql) as rows:
            (found,) = rows.read_all().to_pylist()
            return tuple(found.values())

    def ask_again_and_again() -> None:
        nonlocal asked
        while not done.is_set():
            found = ask()
            asked += 1
            if found != expected:
                wrong.append(found)

    def compact(day: date, kill_after: float | None = None) -> int:
        code, printed = lake_program(
            "--bucket",
            lake.store.bucket,
            "compact",
            "--folder",
            names.TRANSACTIONS,
            "--day",
            day.isoformat(),
            kill_after=kill_after,
        )
        assert code in {0, -signal.SIGKILL}, printed
        return code

    killed, took = 0, 0.5
    reader = threading.Thread(target=ask_again_and_again)
    reader.start()
    try:
        chance = random.Random(6)  # noqa: S311
        for number, day in enumerate(DAYS):
            if number % 3 == 0:
                killed += compact(day, kill_after=chance.uniform(0, took)) != 0
            started = time.monotonic()
            assert compact(day) == 0
            took = time.monotonic() - started
    finally:
        done.set()
        reader.join()
    assert wrong == []
    assert killed > 0
    assert asked >= 5
    assert ask() == expected
    with open_view(lake, names.TRANSACTIONS) as view:
        assert (view.json, len(view.files())) == ([], len(DAYS))
    assert lake.store.list(f"{names.TRANSACTIONS}/") == []
