"""A customer directory in the stack's Postgres and in its bucket: found, missing, refused, with a lost connection."""

from collections.abc import Iterator, Mapping
from uuid import uuid4

import psycopg
import pytest
from fraudstream.errors import DirectoryUnavailable, SettingsError
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.mail.customers import file_table
from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.customers.directory import DirectoryCustomers, Entry
from fraudstream.mail.customers.file_table import FileTable
from fraudstream.mail.customers.postgres_table import PostgresTable
from pydantic import SecretStr

pytestmark = pytest.mark.integration

SCHEMA = "customer_directory_test"


@pytest.fixture(scope="module")
def uri(stack: Mapping[str, str]) -> Iterator[str]:
    address = stack["FRAUDSTREAM_LAKE_CATALOG_URI"].replace("+psycopg2", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        connection.execute(f"CREATE TABLE {SCHEMA}.customer (account text PRIMARY KEY, address text, language char(5))")
        connection.execute(
            f"INSERT INTO {SCHEMA}.customer "  # noqa: S608  a constant
            "SELECT 'C' || n, 'c' || n || '@example.com', 'id' FROM generate_series(1, 2000) n"
        )
        connection.execute(f"INSERT INTO {SCHEMA}.customer VALUES ('C0', NULL, NULL)")  # noqa: S608
        connection.execute(f"CREATE TABLE {SCHEMA}.other (account text)")
        yield address
        connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def table(uri: str, name: str = "customer") -> PostgresTable:
    return PostgresTable(f"postgres:{SCHEMA}.{name}", SecretStr(uri))


def test_a_batch_of_accounts_is_looked_up(uri: str) -> None:
    customers = DirectoryCustomers(table(uri))
    found = customers.of([{"nameOrig": f"C{number}"} for number in range(500)] + [{"nameOrig": "C9999"}])
    assert found[1:500] == [Customer(f"c{number}@example.com", "id") for number in range(1, 500)]
    assert isinstance(found[0], NotReachable)
    assert isinstance(found[500], NotReachable)


def test_a_connection_that_is_lost_is_opened_anew(uri: str) -> None:
    directory = table(uri)
    with psycopg.connect(uri, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fraudstream'"
        ).fetchall()
    assert ended
    assert list(directory.entries(["C1"])) == [Entry("C1", "c1@example.com", "id")]


@pytest.mark.parametrize(
    ("name", "problem"), [("missing", "can't be read: relation .*missing"), ("other", "which has no column address")]
)
def test_a_table_that_is_no_directory_stops_and_names_the_setting(uri: str, name: str, problem: str) -> None:
    with pytest.raises(
        SettingsError, match=f"FRAUDSTREAM_CUSTOMER_DIRECTORY .*{SCHEMA}.{name}'?, which {problem}|{problem}"
    ):
        table(uri, name)


def test_a_login_that_is_refused_names_the_setting_and_shows_no_password(uri: str) -> None:
    wrong = psycopg.conninfo.conninfo_to_dict(uri) | {"user": "nobody"}
    address = f"postgresql://{wrong['user']}:secret-word@{wrong['host']}:{wrong['port']}/{wrong['dbname']}"
    with pytest.raises(DirectoryUnavailable, match="FRAUDSTREAM_CUSTOMER_DATABASE_URI") as raised:
        table(address)
    assert "secret-word" not in str(raised.value)


def test_a_file_in_the_bucket_is_downloaded_in_blocks(lake: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_table, "_BLOCK_BYTES", 10_000)
    name = f"customers/{uuid4()}.csv"
    lines = "".join(f"C{number},c{number}@example.com\n" for number in range(2000))
    created = lake.create(name, f"account,address\n{lines}".encode(), content_type="text/csv", metadata={})
    try:
        directory = FileTable(f"gs://{lake.bucket}/{name}", lambda bucket: lake)
        assert list(directory.entries(["C1999", "C2000"])) == [Entry("C1999", "c1999@example.com")]
    finally:
        lake.delete(name, created.info.generation)
