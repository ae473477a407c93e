from datetime import UTC, datetime

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.lake.__main__ import main
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.table.lake import Lake

from tests.unit.lake.filled_day import DAY, FOLDER, filled, put


@pytest.fixture
def lake(monkeypatch):
    filled_lake = filled()
    monkeypatch.setattr(Lake, "connect", classmethod(lambda cls, settings, bucket: filled_lake))
    return filled_lake


def run(capsys, *arguments):
    code = main(arguments)
    return code, capsys.readouterr()


def test_what_goes_into_a_pipe_is_neither_cut_nor_wrapped(lake, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    heading, *rows = run(capsys, "ls")[1].out.splitlines()[1:-1]
    assert heading.count("┃") == 10
    assert "…" not in heading
    assert len(rows) == 2
    wide = "x" * 300
    assert wide in run(capsys, "query", f"SELECT '{wide}' AS text")[1].out


def test_days_are_listed_with_their_state(lake, capsys):
    assert "│ JSON " in run(capsys, "ls")[1].out
    compact(lake, FOLDER, DAY)
    code, printed = run(capsys, "ls")
    assert code == 0
    assert "compacted" in printed.out
    put(lake, 9, 10)
    assert "late JSON" in run(capsys, "ls")[1].out


def test_a_day_is_compacted_shown_and_maintained(lake, capsys):
    code, printed = run(capsys, "show", FOLDER, DAY.isoformat())
    assert code == 0
    assert "JSON transaction/dt=2023-10-07/non_fraud_transaction-3-00000000000000000005.json.gz" in printed.out
    code, printed = run(capsys, "compact", "--folder", FOLDER, "--keep-json-days", "10000")
    assert code == 0
    assert "12 rows of 5 JSON objects" in printed.out
    code, printed = run(capsys, "show", FOLDER, DAY.isoformat())
    assert ".parquet 12 rows" in printed.out
    assert "JSON that is in the table transaction/dt=2023-10-07/" in printed.out
    put(lake, 9, 10)
    run(capsys, "compact", "--folder", FOLDER)
    code, printed = run(capsys, "maintain", "--folder", FOLDER)
    assert code == 0
    assert "2 small files of 1 days became 1" in printed.out
    assert "nothing in transaction/ of 2023-10-08" in run(capsys, "show", FOLDER, "2023-10-08")[1].out


def test_a_proof_that_fails_is_exit_code_1_and_changes_nothing(lake, capsys):
    put(lake, 10, 11)
    before = dict(lake.store.objects)
    code, printed = run(capsys, "compact")
    assert code == 1
    assert "no object of non_fraud_transaction[3] starts at offset 9" in printed.err
    assert lake.store.objects == before


def test_a_store_that_cant_be_reached_is_exit_code_2_and_no_traceback(lake, capsys):
    def down(operation, name):
        raise LakeUnavailable("the object store at x is down")

    lake.store.before = down
    code, printed = run(capsys, "ls")
    assert code == 2
    assert printed.err == "lake: the object store at x is down\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["show", FOLDER, "2023-13-01"], ["compact", "--keep-json-days", "-1"]]
)
def test_wrong_usage_is_exit_code_2(lake, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_today_is_left_alone_unless_it_is_asked_for(lake, capsys, monkeypatch):
    class Today(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2023, 10, 7, 12, tzinfo=UTC)

    monkeypatch.setattr("fraudstream.lake.__main__.datetime", Today)
    assert "0 rows of 0 JSON objects" in run(capsys, "compact", "--folder", FOLDER)[1].out
    assert "12 rows" in run(capsys, "compact", "--folder", FOLDER, "--day", "2023-10-07")[1].out


def test_a_catalog_that_is_configured_nowhere_is_exit_code_2_and_names_the_variable(capsys, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    code, printed = run(capsys, "ls")
    assert code == 2
    assert "PYICEBERG_CATALOG__FRAUDSTREAM__URI" in printed.err
