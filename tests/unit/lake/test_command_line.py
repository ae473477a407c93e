from datetime import date

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.lake.__main__ import main
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.compaction.verification import verify
from fraudstream.lake.store.cloud_storage import Store

from tests.unit.lake.filled_day import DAY, FOLDER, filled, put


@pytest.fixture
def store(monkeypatch):
    filled_store = filled()
    monkeypatch.setattr(Store, "connect", classmethod(lambda cls, bucket: filled_store))
    return filled_store


def run(capsys, *arguments):
    code = main(arguments)
    return code, capsys.readouterr()


def test_what_goes_into_a_pipe_is_neither_cut_nor_wrapped(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    heading, *rows = run(capsys, "ls")[1].out.splitlines()[1:-1]
    assert heading.count("┃") == 11
    assert "…" not in heading
    assert "compacted JSON" in heading
    assert len(rows) == 2
    wide = "x" * 300
    assert wide in run(capsys, "query", f"SELECT '{wide}' AS text")[1].out


def test_days_are_listed_with_their_state(store, capsys):
    assert "│ JSON " in run(capsys, "ls")[1].out
    compact(store, FOLDER, DAY)
    code, printed = run(capsys, "ls")
    assert code == 0
    assert "compacted" in printed.out
    put(store, 9, 10)
    assert "late JSON" in run(capsys, "ls")[1].out


def test_a_day_is_compacted_shown_and_verified(store, capsys):
    code, printed = run(capsys, "compact", "--folder", FOLDER)
    assert code == 0
    assert "12 rows of 5 JSON objects" in printed.out
    code, printed = run(capsys, "show", FOLDER, DAY.isoformat())
    assert code == 0
    assert "offsets non_fraud_transaction[3] 0 to 8" in printed.out
    code, printed = run(capsys, "verify")
    assert code == 0
    assert "12 rows in 1 Parquet files, 0 in 0 JSON objects: ok" in printed.out


def test_a_damaged_file_fails_the_verification(store, capsys):
    compact(store, FOLDER, DAY)
    current = manifest.load(store, FOLDER, DAY)
    (file,) = current.files
    other = filled()
    put(other, 9, 10)
    compact(other, FOLDER, DAY)
    (larger,) = manifest.load(other, FOLDER, DAY).files
    store.objects[file.name] = store.objects[file.name]._replace(data=other.objects[larger.name].data)
    code, printed = run(capsys, "verify")
    assert code == 1
    assert f"file {file.name} has 13 rows" in printed.out


def test_a_missing_object_fails_the_verification(store):
    del store.objects["transaction/dt=2023-10-07/non_fraud_transaction-3-00000000000000000004.json.gz"]
    (problem,) = verify(store, FOLDER, DAY).problems
    assert "nothing covers non_fraud_transaction[3] 4 to 4" in problem


def test_a_missing_file_fails_the_verification(store):
    compact(store, FOLDER, DAY)
    (file,) = manifest.load(store, FOLDER, DAY).files
    del store.objects[file.name]
    (problem,) = verify(store, FOLDER, DAY).problems
    assert f"file {file.name}" in problem


def test_a_proof_that_fails_is_exit_code_1_and_changes_nothing(store, capsys):
    put(store, 10, 11)
    before = dict(store.objects)
    code, printed = run(capsys, "compact")
    assert code == 1
    assert "nothing covers non_fraud_transaction[3] 9 to 9" in printed.err
    assert store.objects == before


def test_a_store_that_cant_be_reached_is_exit_code_2_and_no_traceback(store, capsys):
    def down(operation, name):
        raise LakeUnavailable("the object store at x is down")

    store.before = down
    code, printed = run(capsys, "ls")
    assert code == 2
    assert printed.err == "lake: the object store at x is down\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["show", FOLDER, "2023-13-01"], ["compact", "--keep-json-days", "-1"]]
)
def test_wrong_usage_is_exit_code_2(store, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_today_is_left_alone_unless_it_is_asked_for(store, capsys, monkeypatch):
    class Today:
        @staticmethod
        def now(zone):
            return type("Now", (), {"date": staticmethod(lambda: date(2023, 10, 7))})

    monkeypatch.setattr("fraudstream.lake.__main__.datetime", Today)
    assert run(capsys, "compact")[1].out == ""
    assert "12 rows" in run(capsys, "compact", "--day", "2023-10-07")[1].out


def test_bigquery_gets_a_table_over_just_the_files_that_count(store, capsys):
    assert run(capsys, "bigquery", "bank") == (0, ("\n", ""))
    compact(store, FOLDER, DAY)
    store.create("transaction/dt=2023-10-07/compacted-of-a-killed-run.parquet", b"", content_type="", metadata={})
    code, printed = run(capsys, "bigquery", "bank")
    assert code == 0
    (file,) = manifest.load(store, FOLDER, DAY).files
    assert printed.out.count("gs://memory/transaction/dt=") == 1
    assert f"'gs://memory/{file.name}'" in printed.out
    assert "CREATE OR REPLACE EXTERNAL TABLE `bank.transaction`" in printed.out
    assert "`amount` NUMERIC(18, 2)" in printed.out
    assert "`timestamp` TIMESTAMP" in printed.out
    assert "WITH PARTITION COLUMNS (dt DATE)" in printed.out
