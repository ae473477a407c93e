"""A customer directory in a table or view of Postgres: one query for each batch of accounts."""

import re
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from fraudstream.database_address import require_one_host
from fraudstream.errors import DirectoryUnavailable, SettingsError
from fraudstream.mail.customers.directory import COLUMNS, Entry
from fraudstream.mail.customers.rows import require_columns

PREFIX = "postgres:"
_SECONDS = 15
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?", re.ASCII)


class PostgresTable:
    """A :class:`~fraudstream.mail.customers.directory.Table` in a database. Its sessions are read-only.

    :param directory: ``postgres:table`` or ``postgres:schema.table``
    :raises SettingsError: the database's address, the table, its columns or the user's rights are wrong
    :raises DirectoryUnavailable: the database can't be reached, or refuses the login
    """

    def __init__(self, directory: str, uri: SecretStr) -> None:
        table = directory.removeprefix(PREFIX)
        if not _TABLE.fullmatch(table):
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {directory!r}; expected postgres:table or postgres:schema.table"
            )
        self._shown = directory
        self._parameters = _parameters(uri.get_secret_value())
        self._connection: psycopg.Connection[Any] | None = None
        name = sql.Identifier(*table.split("."))
        described = self._execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name), [])
        names = [column.name for column in described.description or ()]
        require_columns(names, directory)
        values = [
            sql.SQL("{}::text").format(sql.Identifier(column)) if column in names else sql.SQL("''")
            for column in COLUMNS
        ]
        self._query = sql.SQL("SELECT {} FROM {} WHERE account = ANY(%s)").format(sql.SQL(", ").join(values), name)

    def entries(self, accounts: Sequence[str]) -> Iterable[Entry]:
        """Returns all entries of these accounts.

        :raises SettingsError: the table can't be read; retrying can't help
        :raises DirectoryUnavailable: the database can't be reached, or refuses the login
        """
        rows = self._execute(self._query, [list(accounts)]).fetchall()
        return [Entry(*(value or "" for value in row)) for row in rows]

    def _execute(self, query: sql.Composed, parameters: Sequence[Any]) -> psycopg.Cursor[Any]:
        reused = self._connection is not None
        try:
            return self._connected().execute(query, parameters)
        except psycopg.OperationalError as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            if reused:  # the server may have closed the connection since
                return self._execute(query, parameters)
            raise DirectoryUnavailable(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {self._shown!r}, whose database in "
                f"FRAUDSTREAM_CUSTOMER_DATABASE_URI doesn't answer, or refuses the login: {error}"
            ) from error
        except psycopg.Error as error:
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {self._shown!r}, which can't be read: {error}. "
                "Expected a table or view with the text columns account and address that this user may read"
            ) from error

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(**self._parameters)
            weakref.finalize(self, self._connection.close)
        return self._connection


def _parameters(uri: str) -> dict[str, Any]:
    """Returns the parameters of a connection. No message contains the URI, which has a password."""
    require_one_host(uri, "FRAUDSTREAM_CUSTOMER_DATABASE_URI")
    try:
        if not uri.startswith(("postgresql://", "postgres://")):
            raise ValueError
        given: dict[str, Any] = conninfo_to_dict(uri)
    except (ValueError, psycopg.Error):
        raise SettingsError(
            "FRAUDSTREAM_CUSTOMER_DATABASE_URI is not an address of a database; "
            "FRAUDSTREAM_CUSTOMER_DIRECTORY needs one for a table there, postgresql://user:password@host:port/database"
        ) from None
    options = f"-c default_transaction_read_only=on -c statement_timeout={_SECONDS * 1000}"
    return {
        "connect_timeout": _SECONDS,
        "application_name": "fraudstream",
        # A database host that goes without a word is noticed after 30 s, not after the kernel's two hours.
        "keepalives_idle": _SECONDS,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        **given,
        "options": options,
        "autocommit": True,
    }
