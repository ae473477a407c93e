"""The lake's Iceberg tables, one for each folder, and the catalog that has them.

The catalog is called ``fraudstream``. pyiceberg's own configuration sets its type and address: the variables
``PYICEBERG_CATALOG__FRAUDSTREAM__URI`` and so on, or ``.pyiceberg.yaml``. The namespace of the tables is the name of
the bucket, with ``_`` for each character that SQL would require quotes for.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import requests
from google.auth import exceptions as auth
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    ServerError,
    TableAlreadyExistsError,
    ValidationError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)
from pyiceberg.utils.config import Config
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fraudstream.database_address import require_one_host
from fraudstream.errors import FraudstreamError, LakeError, LakeUnavailable, Overtaken, SettingsError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.credentials import renewal_may_pass
from fraudstream.lake.table import schemas
from fraudstream.lake.table.positions import NOTHING, offsets_of
from fraudstream.settings import Settings

CATALOG = "fraudstream"
#: The branch that has the snapshot of a compaction or rewrite until it is verified.
BRANCH = "compaction"
_PARTITION_FIELD_ID = 1000
_TYPES = {
    "string": StringType(),
    "int32": IntegerType(),
    "int64": LongType(),
    "bool": BooleanType(),
    "double": DoubleType(),
}
_PROPERTIES = {
    "format-version": "2",
    # A process whose commit fails must start over from the snapshot that another process published.
    "commit.retry.num-retries": "0",
    "commit.manifest.min-count-to-merge": "20",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "write.parquet.compression-codec": "zstd",
    # For Spark: the rows that it writes are in the folder's sort order, not grouped by day.
    "write.spark.fanout.enabled": "true",
    "write.distribution-mode": "none",
}


class Tables:
    """The tables of one bucket's lake."""

    def __init__(self, catalog: Catalog, bucket: str) -> None:
        self.catalog = catalog
        self.namespace = re.sub(r"\W", "_", bucket, flags=re.ASCII)

    @classmethod
    def connect(cls, settings: Settings, bucket: str) -> "Tables":
        """Opens the catalog. The setting lake_catalog_uri, a secret, is the address of a SQL catalog.

        :raises SettingsError: pyiceberg's configuration has no catalog of this name, or an unusable one
        :raises LakeUnavailable: the catalog doesn't answer
        """
        properties, uri = configured(), settings.lake_catalog_uri.get_secret_value()
        if uri and properties.get("type", "sql") == "sql":
            properties |= {"type": "sql", "uri": uri}
        if kind := properties.pop("auth.type", None):
            properties["auth"] = {"type": kind}
        require_one_host(
            str(properties.get("uri", "")), "FRAUDSTREAM_LAKE_CATALOG_URI or PYICEBERG_CATALOG__FRAUDSTREAM__URI"
        )
        try:
            with translated("open"):
                return cls(load_catalog(CATALOG, **properties), bucket)
        except FraudstreamError:
            raise
        except Exception as error:  # pyiceberg passes on the errors of the many parsers of its configuration
            raise SettingsError(
                f"pyiceberg can't open its catalog {CATALOG!r} ({error!r}): set FRAUDSTREAM_LAKE_CATALOG_URI or"
                " PYICEBERG_CATALOG__FRAUDSTREAM__URI, and the variables beside it, as docs/lake.md says"
            ) from error

    def name(self, folder: str) -> str:
        """Returns a table's name in SQL: namespace and folder."""
        return f"{self.namespace}.{folder}"

    def load(self, folder: str) -> Table | None:
        """Returns a folder's table as it is now; None: it doesn't exist or has no snapshot, so nothing was compacted.

        :raises LakeUnavailable: the catalog doesn't answer
        """
        with translated(f"load table {self.name(folder)} from"):
            try:
                table = self.catalog.load_table((self.namespace, folder))
            except NoSuchTableError:
                return None
            return table if table.current_snapshot() else None

    def offsets(self, folder: str) -> dict[Partition, int]:
        """Returns the first offset that a folder's table doesn't have yet, by topic-partition.

        :raises LakeUnavailable: the catalog doesn't answer
        """
        table = self.load(folder)
        return offsets_of(table) if table else {}

    def load_or_create(self, folder: str) -> Table:
        """Returns a folder's table, with the columns of :mod:`fraudstream.lake.table.schemas` and a current snapshot.

        Creates the table if it doesn't exist. Columns that the table doesn't have yet are added to it.

        :raises LakeError: a column couldn't be added, or the catalog doesn't support branches
        :raises LakeUnavailable: the catalog doesn't answer, or another process changed the table meanwhile
        """
        identifier = (self.namespace, folder)
        with translated(f"create table {self.name(folder)} in"):
            try:
                table = self.catalog.load_table(identifier)
            except NoSuchTableError:
                self._create(folder)
                table = self.catalog.load_table(identifier)
            if missing := set(schemas.rows_schema(folder).names) - {field.name for field in table.schema().fields}:
                try:
                    with table.update_schema() as update:
                        update.union_by_name(schemas.rows_schema(folder))
                except ValidationError as error:
                    raise LakeError(
                        f"columns {sorted(missing)} can't be added to table {self.name(folder)}, which another program"
                        f" has changed ({error}): change its columns back"
                    ) from error
                table = self.catalog.load_table(identifier)
                if missing - {field.name for field in table.schema().fields}:
                    raise LakeError(f"columns {sorted(missing)} couldn't be added to table {self.name(folder)}")
            if table.current_snapshot() is None:
                # The first snapshot has no rows, so that each later snapshot has a parent whose offsets are known.
                with (
                    table.transaction() as transaction,
                    transaction.update_snapshot(snapshot_properties=NOTHING).fast_append(),
                ):
                    pass
            if not offsets_of(table) and BRANCH not in table.refs():
                self._require_branches(table)
        return table

    def _require_branches(self, table: Table) -> None:
        """Creates :data:`BRANCH`, to check before the first row is written that the catalog supports branches.

        A catalog that ignores branches would publish rows before they are verified.

        :raises LakeError: the catalog has no such branch afterwards
        :raises Overtaken: another run changed the table meanwhile
        """
        snapshot = table.current_snapshot()
        table.manage_snapshots().create_branch(snapshot.snapshot_id, BRANCH).commit()
        now = self.catalog.load_table(table.name())
        if BRANCH not in now.refs():
            if now.current_snapshot() != snapshot:  # another run has published its rows and removed the branch
                raise Overtaken(f"another run changed table {table.name()}")
            raise LakeError(
                f"the Iceberg catalog {CATALOG!r} keeps no branches (Nessie is known to put a branch's snapshots on"
                " main), so nothing could be proven before readers see it: use another catalog, or one of type sql"
            )

    def _create(self, folder: str) -> None:
        with suppress(NamespaceAlreadyExistsError):
            self.catalog.create_namespace(self.namespace)
        columns = enumerate(schemas.rows_schema(folder), 1)
        schema = Schema(
            *(NestedField(number, field.name, _type(field.type), required=False) for number, field in columns)
        )
        by_day = PartitionField(
            schema.find_field("recordTimestamp").field_id, _PARTITION_FIELD_ID, DayTransform(), "recordTimestamp_day"
        )
        with suppress(TableAlreadyExistsError):
            self.catalog.create_table(
                (self.namespace, folder), schema, partition_spec=PartitionSpec(by_day), properties=_PROPERTIES
            )


def _type(kind: pa.DataType) -> PrimitiveType:
    if pa.types.is_decimal(kind):
        return DecimalType(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return TimestamptzType()
    return _TYPES[str(kind)]


def configured() -> dict[str, Any]:
    """Returns the catalog's properties from pyiceberg's configuration, which is read anew at each call.

    pyiceberg itself reads its configuration only once, when it is imported. A variable that ends in ``__AUTH__TYPE``
    becomes the property ``auth.type``. pyiceberg's REST catalog expects a nested property instead, which no variable
    can express.
    """
    return dict(Config().get_catalog_config(CATALOG) or {})


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translates errors of catalogs, and of pyiceberg's access to files, to those of the lake. No other place does so.

    :param what: what is done, for the message: words that the catalog's name can follow, such as "load table x from"
    :raises Overtaken: a commit failed, because another process changed the table before
    :raises LakeUnavailable: the catalog, the store of its files or Google's token server doesn't answer
    :raises LakeError: the catalog refused the request, or Google's credentials are invalid
    """
    try:
        yield
    except CommitFailedException as error:
        raise Overtaken(
            f"could not {what} the Iceberg catalog {CATALOG!r}: another run changed it meanwhile ({error}); run again"
        ) from error
    except ArgumentError:  # not an address, or one of a database that SQLAlchemy doesn't know: connect() reports it
        raise
    except (ServerError, SQLAlchemyError, requests.RequestException, OSError) as error:
        raise LakeUnavailable(
            f"could not {what} the Iceberg catalog {CATALOG!r}: {error!r}; it, or the store of its files, is down or"
            " unreachable: retry later, or correct PYICEBERG_CATALOG__FRAUDSTREAM__*"
        ) from error
    except auth.GoogleAuthError as error:
        what = f"could not {what} the Iceberg catalog {CATALOG!r}: Google's credentials can't be renewed ({error!r})"
        raise (LakeUnavailable if renewal_may_pass(error) else LakeError)(what) from error
    except RESTError as error:
        raise LakeError(f"could not {what} the Iceberg catalog {CATALOG!r}: it answered {error!r}") from error
