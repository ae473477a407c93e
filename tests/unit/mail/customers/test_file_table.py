"""A customer directory in a file: both formats, damaged files, and the errors if it can't be read."""

import gc
import gzip
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import DirectoryUnavailable, LakeError, LakeUnavailable, SettingsError
from fraudstream.mail.customers import file_table as module
from fraudstream.mail.customers.directory import Entry
from fraudstream.mail.customers.file_table import FileTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore

HEADER = b"account,address,language,time_zone,name\n"
SITI = Entry("C1", "siti@x.example", "id", "Asia/Jakarta", "Siti Rahayu")


def no_store(bucket: str) -> MemoryStore:
    raise AssertionError(f"asked for bucket {bucket}")


@pytest.fixture
def table(tmp_path: Path) -> Callable[[bytes], FileTable]:
    def make(content: bytes) -> FileTable:
        path = tmp_path / "customers"
        path.write_bytes(content)
        return FileTable(str(path), no_store)

    return make


def found(table: FileTable, *accounts: str) -> list[Entry]:
    return list(table.entries(accounts))


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"C1,siti@x.example,id,Asia/Jakarta,Siti Rahayu\n",
        HEADER + b'"C1","siti@x.example","id","Asia/Jakarta","Siti Rahayu"',
        b"\xef\xbb\xbf"
        + HEADER.upper().replace(b"\n", b"\r\n")
        + b"C1, siti@x.example,id,Asia/Jakarta,Siti Rahayu\r\n\r\n",
        b"name,since,account,time_zone,language,address\nSiti Rahayu,2020,C1,Asia/Jakarta,id,siti@x.example\n",
        gzip.compress(HEADER + b"C1,siti@x.example,id,Asia/Jakarta,Siti Rahayu\n"),
    ],
    ids=["plain", "quoted", "from Windows", "other order and more columns", "gzip"],
)
def test_csv(table: Callable[[bytes], FileTable], content: bytes) -> None:
    assert found(table(content), "C1", "C2") == [SITI]


def test_columns_that_may_be_missing_are_empty(table: Callable[[bytes], FileTable]) -> None:
    assert found(table(b"account,address\nC1,siti@x.example\n"), "C1") == [Entry("C1", "siti@x.example")]


def test_parquet_of_any_text_type(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    columns = {
        "account": pa.array([1, 2, None]),
        "address": pa.array(["a@x.example", None, "c@x.example"], pa.large_string()),
        "language": pa.array(["id", "en", None]).dictionary_encode(),
        "balance": pa.array([1.0, 2.0, 3.0]),
    }
    pq.write_table(pa.table(columns), path)
    assert found(FileTable(str(path), no_store), "1", "2") == [Entry("1", "a@x.example", "id"), Entry("2", "", "en")]


def test_parquet_with_bytes_that_are_no_text_spoils_its_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    address = pa.array([b"a\xff@x.example", b"b@x.example"], pa.binary())
    forged = pa.StringArray.from_buffers(2, address.buffers()[1], address.buffers()[2])
    pq.write_table(pa.table({"account": ["C1", "C2"], "address": forged}), path)
    assert found(FileTable(str(path), no_store), "C1", "C2") == [
        Entry("C1", "a\ufffd@x.example"),
        Entry("C2", "b@x.example"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"C2,b@x.example", "line 3 has 2 fields instead of 5"),
        (b"C2,b@x.example,id,Asia/Jakarta,Siti, Rahayu", "line 3 has 6 fields instead of 5"),
        (b'C2,b@x.example,id,Asia/Jakarta,"Siti', "line 3 has a quote that doesn't enclose a field"),
        (b'"C2",b@x.example,id,Asia/Jakarta,"Si"ti', "line 3 has a quote that doesn't enclose a field"),
        (b"C2,b@x.example,id,Asia/Jakarta,Zo\xeb", "line 3 has bytes that are not UTF-8"),
    ],
)
def test_a_malformed_line_is_that_accounts_problem_alone(
    table: Callable[[bytes], FileTable], line: bytes, problem: str
) -> None:
    good = b"C1,siti@x.example,id,Asia/Jakarta,Siti Rahayu\n"
    entries = found(table(HEADER + good + line + b"\n" + good.replace(b"C1", b"C3")), "C1", "C2", "C3")
    assert entries == [SITI, Entry("C2", "", problem=problem), SITI._replace(account="C3")]


def test_lines_without_an_account_are_counted(
    table: Callable[[bytes], FileTable], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert len(found(table(b"address,account\nsiti@x.example\na@x.example,C1\n\xff\n"), "C1")) == 1
    assert "2 lines without an account are left out; line 2 has 1 fields instead of 2" in caplog.text


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=50)
def test_no_content_behind_the_header_is_a_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "customers"
    path.write_bytes(HEADER + content)
    assert len(found(FileTable(str(path), no_store), "C1")) <= content.count(b"\n") + 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no column account and no column address: found none"),
        (b"id,address\nC1,a@x.example\n", "no column account: found id, address; expected account, address"),
        (b"account;address\nC1;a@x.example\n", "no column account and no column address: found account;address"),
        (b"PAR1 but nothing behind it", "can't be read"),
        (gzip.compress(HEADER * 1000)[:-12], "can't be read"),
        (b"\x1f\x8b but no gzip", "can't be read"),
    ],
)
def test_a_file_that_is_no_directory_stops_and_names_the_setting(
    table: Callable[[bytes], FileTable], content: bytes, problem: str
) -> None:
    with pytest.raises(SettingsError, match=f"FRAUDSTREAM_CUSTOMER_DIRECTORY names .*customers, which.*{problem}"):
        found(table(content), "C1")


def test_a_file_that_is_not_there_stops_and_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_CUSTOMER_DIRECTORY is .*: no such file in "):
        FileTable(str(tmp_path / "customers.csv"), no_store)


class TestObject:
    URI = "gs://bank-tables/customers/today.csv"

    def store(self, content: bytes = HEADER + b"C1,siti@x.example,id,Asia/Jakarta,Siti Rahayu\n") -> MemoryStore:
        store = MemoryStore()
        store.create("customers/today.csv", content, content_type="text/csv", metadata={})
        return store

    def test_it_is_read_block_by_block_in_one_generation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BLOCK_BYTES", 7)
        asked: list[str] = []

        def connect(bucket: str) -> MemoryStore:
            asked.append(bucket)
            return self.store()

        assert found(FileTable(self.URI, connect), "C1") == [SITI]
        assert set(asked) == {"bank-tables"}

    def test_one_that_is_replaced_while_it_is_read_may_pass(self) -> None:
        store = self.store()
        store.before = lambda operation, name: store.objects.clear() if operation == "download" else None
        with pytest.raises(
            DirectoryUnavailable, match=f"CUSTOMER_DIRECTORY names {self.URI}, which was replaced"
        ) as raised:
            found(FileTable(self.URI, lambda bucket: store), "C1")
        assert raised.value.retryable

    @pytest.mark.parametrize(
        ("raised", "expected"),
        [(LakeUnavailable("503"), DirectoryUnavailable), (LakeError("forbidden"), SettingsError)],
    )
    def test_errors_of_the_store_name_the_setting(self, raised: Exception, expected: type[Exception]) -> None:
        def refuse(operation: str, name: str) -> None:
            if operation == "look_up":
                raise raised

        store = self.store()
        store.before = refuse
        with pytest.raises(expected, match=f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self.URI}.*{raised}"):
            FileTable(self.URI, lambda bucket: store)

    @pytest.mark.parametrize(
        ("uri", "problem"),
        [
            ("gs://bank-tables", "expected gs://bucket/object"),
            ("gs://bank-tables/x.csv", "no object 'x.csv' in bucket"),
        ],
    )
    def test_one_that_is_not_there_is_a_wrong_setting(self, uri: str, problem: str) -> None:
        with pytest.raises(SettingsError, match=f"FRAUDSTREAM_CUSTOMER_DIRECTORY is '{uri}'.*{problem}"):
            FileTable(uri, lambda bucket: self.store())


@pytest.mark.parametrize("content", [HEADER + b"C1,siti@x.example,id,Asia/Jakarta,Siti Rahayu\n", b"no header\n"])
def test_the_index_is_closed_with_the_directory_and_when_it_can_t_be_filled(
    table: Callable[[bytes], FileTable], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    opened: list[sqlite3.Connection] = []

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(module, "sqlite3", SimpleNamespace(connect=connect, Error=sqlite3.Error))
    asked = table(content)
    with suppress(SettingsError):
        found(asked, "C1")
    del asked
    gc.collect()
    (index,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        index.execute("SELECT 1")
