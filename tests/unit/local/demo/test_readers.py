"""Readers of other projects count the same rows in the lake's tables."""

from collections.abc import Callable, Iterator

import pytest
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.stream import names
from pyiceberg.table import Table

from local import readers
from tests.fakes.settled import settle
from tests.unit.lake.audit.audited_lake import NON_FRAUD, put
from tests.unit.lake.compaction.engine_behaviour import DAY, all_folders


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Table]]:
    lake = all_folders()
    put(lake, names.MAILS, NON_FRAUD, [0, 1, 2], 3)
    settle(lake.store, names.MAILS, NON_FRAUD, 3)
    found = {}
    for folder in (names.TRANSACTIONS, names.FRAUD_CASES, names.MAILS):
        compact(lake, folder, DAY)
        found[folder] = lake.tables.load(folder)
    yield found  # the lake's files exist as long as this object


@pytest.mark.parametrize(
    "count",
    [
        readers.with_pyiceberg,
        readers.with_duckdb,
        pytest.param(
            readers.with_polars, marks=pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
        ),
    ],
)
def test_each_reader_counts_what_the_demo_counts(
    tables: dict[str, Table], count: Callable[[dict[str, Table]], readers.Counts]
) -> None:
    demo = {
        "transaction": 270,
        "fraud_confirmation": {"pending": 3, "outcome": 2},
        "email_confirmation": 3,
    }
    assert count(tables) == readers.of_demo(demo)
