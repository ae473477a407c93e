"""A temporary directory on local disk, with a DuckDB database that spills to it."""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import LakeError

MEMORY = "1GiB"
#: DuckDB's errors if its memory or the disk are used up.
NO_ROOM = (duckdb.OutOfMemoryException, duckdb.IOException)


def connection(directory: Path) -> closing[duckdb.DuckDBPyConnection]:
    """Opens an in-memory DuckDB database with limited memory, which spills to a directory."""
    made = duckdb.connect(":memory:")
    made.execute("SET TimeZone = 'UTC'")
    made.execute(f"SET memory_limit = '{MEMORY}'")
    made.execute("SET temp_directory = $1", [str(directory / "spilled")])
    return closing(made)


def view_of_files(
    db: duckdb.DuckDBPyConnection, name: str, files: Sequence[str], columns: pa.Schema, directory: Path
) -> list[str]:
    """Makes Parquet files a view and returns the paths that it reads.

    :param files: may be none, or older than some of the columns, which are null then
    :param columns: a file without rows, written to `directory`, has all of them
    """
    none = directory / f"{name}-none.parquet"
    pq.write_table(columns.empty_table(), none)
    paths = [str(none), *files]
    db.read_parquet(paths, union_by_name=True, hive_partitioning=False).create_view(name)
    return paths


@contextmanager
def workspace() -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    """Creates a temporary directory and opens a database; removes both at the end.

    :raises LakeError: the work inside needs more memory or disk space than there is
    """
    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as name, connection(Path(name)) as db:
        try:
            yield Path(name), db
        except NO_ROOM as error:
            raise no_room(Path(name), error) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise no_room(Path(name), error) from error


def no_room(directory: Path, error: Exception) -> LakeError:
    """Returns the error to raise if memory or disk are used up."""
    return LakeError(
        f"DuckDB can't continue in {directory}: {str(error).strip()}. It may use {MEMORY} of memory, and the disk has"
        f" {shutil.disk_usage(directory).free >> 20:,} MiB free: free some, or set TMPDIR to a folder on a larger disk"
    )
