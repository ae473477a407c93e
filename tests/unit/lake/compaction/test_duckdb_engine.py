"""DuckDB's engine behaves as every engine, and reads numbers exactly that a double can't represent."""

import errno
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from fraudstream.errors import LakeError, ProofFailed
from fraudstream.lake.compaction import duckdb_engine, local_lines, workspace
from fraudstream.lake.compaction.protocol import compact as compact_day
from fraudstream.lake.query.query import query
from fraudstream.lake.stream import names

from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction.engine_behaviour import DAY, EngineBehaviour, all_folders, put, read
from tests.unit.lake.rows import batch, row


class TestDuckDB(EngineBehaviour):
    @pytest.fixture
    def lake(self):
        return new_lake()

    @pytest.fixture
    def compact(self):
        return compact_day


@pytest.mark.parametrize("amount", [10**15 - 1, 10**15, 10**15 + 1, 10**17 + 7, 10**18 - 1, -(10**17) - 3])
def test_an_amount_of_any_size_is_the_same_afterwards(amount):
    lake = new_lake()
    put(lake, names.TRANSACTIONS, batch([0, 1], rows=[row(0, amount=amount), row(1)]))
    before = read(lake, names.TRANSACTIONS)
    compact_day(lake, names.TRANSACTIONS, DAY)
    assert read(lake, names.TRANSACTIONS).equals(before)


def test_numbers_are_read_as_text_only_where_that_is_needed(monkeypatch):
    views = []
    make = local_lines.view_of_lines

    def noted(db, folder, pattern, *, exact):
        views.append(exact)
        make(db, folder, pattern, exact=exact)

    monkeypatch.setattr(duckdb_engine, "view_of_lines", noted)
    lake = new_lake()
    put(lake, names.TRANSACTIONS, batch([0], rows=[row(0, amount=10**15 - 1)]))
    compact_day(lake, names.TRANSACTIONS, DAY)
    assert views == [False]
    compact_day(all_folders(), names.TRANSACTIONS, DAY)
    assert views == [False, False, True]


BAD = names.object_name(names.TRANSACTIONS, DAY, *batch([0]).partition, 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"nonsense\n", f"object {BAD} holds lines that don't fit"),
        (b'{"amount":"x"}\n', "transaction/: the objects of .* have different control totals"),
        (b'{"amount":1.0', f"object {BAD} holds lines that don't fit"),
        (b'{"offset":1.5e400}\n', "transaction/: the objects of .* have different control totals"),
    ],
)
def test_lines_that_arent_the_folders_are_refused(body, said):
    lake = new_lake()
    put(lake, names.TRANSACTIONS, batch([0]), body=body)
    put(lake, names.TRANSACTIONS, batch([1, 2]))
    with pytest.raises(LakeError, match=said):
        compact_day(lake, names.TRANSACTIONS, DAY)


def test_objects_are_read_packed_where_the_disk_has_no_room_for_their_lines(monkeypatch):
    read_from = []
    make = local_lines.view_of_lines

    def noted(db, folder, pattern, *, exact):
        read_from.append(sorted(path.suffix for path in Path(pattern).parent.iterdir()))
        make(db, folder, pattern, exact=exact)

    monkeypatch.setattr(duckdb_engine, "view_of_lines", noted)
    lakes = [all_folders(), all_folders()]
    before = read(lakes[0], names.FRAUD_CASES)
    compact_day(lakes[0], names.FRAUD_CASES, DAY)
    monkeypatch.setattr(local_lines, "_ROOM", 10**15)
    compact_day(lakes[1], names.FRAUD_CASES, DAY)
    assert read_from == [[".json", ".json"], [".gz", ".gz"]]
    for lake in lakes:
        assert read(lake, names.FRAUD_CASES).equals(before)


def test_a_file_of_a_given_size_is_followed_by_the_next_one_in_order(monkeypatch):
    monkeypatch.setattr(duckdb_engine, "ROW_GROUP_ROWS", 2_048)
    lake, count = new_lake(), 20_000
    rows = [
        row(n, nameOrig=f"C{n * 7919 % count:06}", idTransaction=f"{n * 982_451_653 % 10**12}") for n in range(count)
    ]
    put(lake, names.TRANSACTIONS, batch(range(count), rows=rows))
    report = compact_day(lake, names.TRANSACTIONS, DAY, target_bytes=100_000)
    assert report.files > 1
    table = lake.tables.load(names.TRANSACTIONS)
    bounds = sorted((task.file.lower_bounds[6], task.file.upper_bounds[6]) for task in table.scan().plan_files())
    assert all(before[1] <= after[0] for before, after in pairwise(bounds))


def test_too_little_memory_or_disk_is_named_and_is_not_taken_for_a_wrong_line(monkeypatch):
    lake = all_folders()
    before = read(lake, names.TRANSACTIONS)
    with monkeypatch.context() as patched:
        patched.setattr(workspace, "MEMORY", "1MiB")
        with pytest.raises(LakeError, match=r"1MiB of memory.*MiB free"):
            compact_day(lake, names.TRANSACTIONS, DAY)
        with pytest.raises(LakeError, match=r"1MiB of memory.*MiB free"), query(lake, "FROM transaction"):
            pass
    with pytest.raises(LakeError, match=r"No space left on device.*set TMPDIR"), workspace.workspace():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert read(lake, names.TRANSACTIONS).equals(before)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:],
        lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    ],
    ids=["empty", "shorter", "longer", "another bit", "zeros"],
)
def test_a_file_of_which_the_store_has_other_bytes_is_not_published(monkeypatch, damage):
    send = duckdb_engine._uploaded

    def sent(table, day, path):
        address = send(table, day, path)
        with table.io.new_output(address).create(overwrite=True) as out:
            out.write(damage(path.read_bytes()))
        return address

    lake = all_folders()
    before = read(lake, names.TRANSACTIONS)
    with monkeypatch.context() as patched:
        patched.setattr(duckdb_engine, "_uploaded", sent)
        with pytest.raises(ProofFailed, match=r"has other bytes than the [\d,]+ that were written"):
            compact_day(lake, names.TRANSACTIONS, DAY)
    assert lake.tables.load(names.TRANSACTIONS).current_snapshot().summary["total-records"] == "0"
    compact_day(lake, names.TRANSACTIONS, DAY)
    assert read(lake, names.TRANSACTIONS).equals(before)


def test_a_day_that_does_not_fit_the_disk_is_refused_before_anything_is_written(monkeypatch):
    lake = all_folders()
    before = read(lake, names.TRANSACTIONS)
    packed = sum(info.size for info in lake.store.list(f"{names.TRANSACTIONS}/"))
    monkeypatch.setattr(local_lines.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * packed - 1))
    with pytest.raises(LakeError, match=r"has 0 MiB free. The 9 JSON objects .* set TMPDIR"):
        compact_day(lake, names.TRANSACTIONS, DAY)
    assert read(lake, names.TRANSACTIONS).equals(before)
    monkeypatch.setattr(local_lines.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * packed))
    assert compact_day(lake, names.TRANSACTIONS, DAY).json_rows == len(before)
