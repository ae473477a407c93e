"""Checks of a Postgres directory's configuration before a connection; tests/integration has the rest."""

import psycopg
import pytest
from fraudstream.errors import DirectoryUnavailable, SettingsError
from fraudstream.mail.customers.postgres_table import PostgresTable
from pydantic import SecretStr

URI = SecretStr("postgresql://fraudstream:hidden-word@db.example/bank")


@pytest.mark.parametrize("table", ["", "a b", "customers; DROP TABLE x", 'x"y', "a.b.c", "1x"])
def test_a_name_that_is_no_table_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_CUSTOMER_DIRECTORY is .*; expected postgres:table"):
        PostgresTable(f"postgres:{table}", URI)


@pytest.mark.parametrize(
    "uri",
    ["", "hidden-word", "postgresql+psycopg2://u:hidden-word@db/bank", "postgresql://u:hidden-word@db/bank?nonsense=1"],
)
def test_an_address_that_is_none_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(SettingsError, match="FRAUDSTREAM_CUSTOMER_DATABASE_URI is not an address") as raised:
        PostgresTable("postgres:customers", SecretStr(uri))
    assert "hidden-word" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("password", ["p@hidden-word", "hidden-word@", "p@hidden/word", "p/hidden@word"])
def test_a_password_that_a_driver_would_take_for_a_host_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_CUSTOMER_DATABASE_URI has more than one @.*%40") as raised:
        PostgresTable("postgres:customers", SecretStr(f"postgresql://u:{password}@db.example/bank"))
    assert "hidden" not in str(raised.value)


def test_a_connection_notices_a_host_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    def connect(**parameters: object) -> None:
        made.append(parameters)
        raise psycopg.OperationalError

    monkeypatch.setattr(psycopg, "connect", connect)
    for more in ("", "?keepalives_idle=99"):
        with pytest.raises(DirectoryUnavailable):
            PostgresTable("postgres:customers", SecretStr(f"postgresql://u:p@db.example/bank{more}"))
    assert [one["keepalives_idle"] for one in made] == [15, "99"]
    assert {one["tcp_user_timeout"] for one in made} == {30_000}


def test_a_database_that_does_not_answer_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**parameters: object) -> None:
        assert "default_transaction_read_only=on" in str(parameters["options"])
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(
        DirectoryUnavailable, match=r"FRAUDSTREAM_CUSTOMER_DIRECTORY is 'postgres:customers'.*refused"
    ) as raised:
        PostgresTable("postgres:customers", URI)
    assert raised.value.retryable
    assert "hidden-word" not in str(raised.value)
