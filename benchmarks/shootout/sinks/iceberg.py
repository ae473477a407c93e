"""Kafka Connect with Iceberg's sink, which commits rows and offsets in one snapshot of the table."""

from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from benchmarks.harness.topics import create
from benchmarks.shootout.readers import Files, IcebergTable, Reader, ids_in_parquet
from benchmarks.shootout.sinks.connect import Connect
from benchmarks.shootout.sinks.subject import FLUSH_SECONDS, Trial

_CATALOG = "iceberg"
_TABLE = "shootout.records"


class IcebergSink(Connect):
    """Writes to a table in a JDBC catalog on SQLite, with its files on disk."""

    name = "connect-iceberg"

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        self._control_topic = f"{trial.topic}-control"
        create(trial.environment, [self._control_topic])

    def connector(self) -> dict[str, object]:
        return {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": 2,
            "iceberg.tables": _TABLE,
            "iceberg.tables.auto-create-enabled": "true",
            "iceberg.control.topic": self._control_topic,
            "iceberg.control.commit.interval-ms": FLUSH_SECONDS * 1000,
            "iceberg.kafka.bootstrap.servers": self.trial.environment["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
            "iceberg.catalog": _CATALOG,
            "iceberg.catalog.type": "jdbc",
            "iceberg.catalog.uri": f"jdbc:sqlite:{self._database}",
            "iceberg.catalog.jdbc.schema-version": "V1",
            "iceberg.catalog.warehouse": self.trial.files.as_uri(),
        }

    def reader(self) -> Reader:
        return IcebergTable(self._load)

    def other_reader(self) -> tuple[str, Reader]:
        return "file listing", Files(self.trial.files, ids_in_parquet, "*.parquet")

    def _load(self) -> Table:
        catalog = SqlCatalog(_CATALOG, uri=f"sqlite:///{self._database}", warehouse=self.trial.files.as_uri())
        return catalog.load_table(_TABLE)

    @property
    def _database(self) -> Path:
        return self.trial.folder / "catalog.db"
