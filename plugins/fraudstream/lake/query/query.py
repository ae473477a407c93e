"""SQL over the lake: DuckDB reads the tables' files and the JSON that isn't in the tables yet. Each row is there once.

The views ``transaction``, ``fraud_confirmation``, ``email_confirmation`` and ``case_event`` have the columns of their
folders and ``dt``, the day. The view ``fraud_case`` has one row per case, in its latest state.

The steps, numbered as in the code:

1. find in the statement's tree which views it reads, and which of their rows can be skipped,
2. open a consistent view of each folder (:mod:`fraudstream.lake.query.view`); pyiceberg skips the files that have no
   rows of interest,
3. let DuckDB read the local copies of the JSON, and the byte ranges of the tables' files that it needs.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from fraudstream.errors import LakeError, QueryRefused
from fraudstream.lake.compaction import statements
from fraudstream.lake.compaction.local_lines import view_of_lines
from fraudstream.lake.compaction.workspace import NO_ROOM, connection, no_room, view_of_files
from fraudstream.lake.query.files import TableFiles
from fraudstream.lake.query.pruning import FRAUD_CASE_VIEW, Wanted, wanted
from fraudstream.lake.query.view import open_view
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.schemas import rows_schema

_ROWS_AT_ONCE = 10_000
_ALLOWED = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
#: The outcome of a case takes precedence over its PENDING row, and the last staff decision over other outcomes. The
#: order is that of :mod:`fraudstream.cases.answers.order`, since a broker's clock may have been set back.
_CASES = f"""
    CREATE VIEW {FRAUD_CASE_VIEW} AS
    SELECT * EXCLUDE (topic, "partition", "offset", recordTimestamp, dt, taken_ms),
        min(recordTimestamp) OVER (PARTITION BY idTransaction) AS openedAt, recordTimestamp AS changedAt
    FROM (
        SELECT *, max(epoch_ms(recordTimestamp)) OVER (
            PARTITION BY idTransaction, topic, "partition" ORDER BY "offset"
        ) AS taken_ms
        FROM fraud_confirmation
    )
    QUALIFY row_number() OVER (
        PARTITION BY idTransaction
        ORDER BY status = 'PENDING', channel IS DISTINCT FROM 'STAFF', -taken_ms,
            topic, "partition" DESC, "offset" DESC
    ) = 1
"""


@contextmanager
def query(lake: Lake, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Returns the result of one SELECT (or EXPLAIN, DESCRIBE) as a stream, which must be read inside the ``with``.

    :raises QueryRefused: the SQL is invalid, isn't a single SELECT, or reads something else than the views; also from
        reading the stream, if a later row has the error
    :raises LakeUnavailable: the store or the catalog doesn't answer, or objects vanished during each of the tries
    """
    with (
        tempfile.TemporaryDirectory(prefix="fraudstream-query-") as name,
        connection(Path(name)) as db,
        ExitStack() as views,
    ):
        # 1. the statement
        _require_one_select(db, sql)
        asked = wanted(db, sql, FOLDERS)
        # 2. and 3. the folders
        files = TableFiles()
        db.register_filesystem(files)
        paths = [
            path
            for folder in FOLDERS
            for path in _make_view(lake, db, files, folder, asked.get(folder), Path(name), views)
        ]
        db.execute(_CASES)
        # From here on DuckDB can open only these files, and no statement can change that.
        db.execute("SET allowed_paths = $1", [paths])
        db.execute("SET enable_external_access = false; SET lock_configuration = true")
        with refusing():
            reader = db.sql(sql).to_arrow_reader(_ROWS_AT_ONCE)
            yield pa.RecordBatchReader.from_batches(reader.schema, _batches(reader))


@contextmanager
def refusing(errors: type[Exception] = duckdb.Error) -> Iterator[None]:
    """Translates errors of DuckDB to :class:`QueryRefused`."""
    try:
        yield
    except errors as error:
        raise QueryRefused(f"the query can't be run: {str(error).strip()}") from error


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yields the batches of a result. Arrow passes DuckDB's errors of later rows on as OSError."""
    with refusing(OSError):
        yield from reader


def _require_one_select(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    with refusing():
        statements = db.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _ALLOWED:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryRefused(f"the lake is read-only: write one SELECT over the views, found {found}")


def _make_view(
    lake: Lake,
    db: duckdb.DuckDBPyConnection,
    files: TableFiles,
    folder: str,
    rows: Wanted | None,
    directory: Path,
    views: ExitStack,
) -> list[str]:
    """Creates the view of a folder and returns the paths that it reads.

    :param rows: the rows that the statement needs; None: the statement doesn't read the folder, so the view is empty
    """
    paths: list[str] = []
    if rows is not None:
        view = views.enter_context(
            open_view(lake, folder, first=rows.first, last=rows.last, expression=rows.expression)
        )
        if view.copies:
            paths.append(_json_as_parquet(db, folder, view.copies[0].parent, directory / f"{folder}-json.parquet"))
        if view.table is not None:
            paths += [files.add(view.table.io, file) for file in view.files()]
    columns = ", ".join(f'"{field.name}"' for field in rows_schema(folder))
    paths = view_of_files(db, f"all_{folder}", paths, rows_schema(folder), directory)
    db.execute(f'CREATE VIEW "{folder}" AS SELECT {columns}, CAST("recordTimestamp" AS DATE) AS dt FROM "all_{folder}"')
    return paths


def _json_as_parquet(db: duckdb.DuckDBPyConnection, folder: str, lines: Path, path: Path) -> str:
    try:
        view_of_lines(db, folder, f"{lines}/*", exact=True)
        db.execute(f"COPY ({statements.rows_of_lines(folder)}) TO '{path}' (FORMAT parquet, COMPRESSION uncompressed)")
    except NO_ROOM as error:
        raise no_room(path.parent, error) from error
    except duckdb.Error as error:
        raise LakeError(
            f"objects of {folder}/ hold lines that don't fit the folder ({str(error).strip()}): they were written by"
            " another version of the pipeline or by something else; use the version that wrote them, or move them away"
        ) from error
    return str(path)
