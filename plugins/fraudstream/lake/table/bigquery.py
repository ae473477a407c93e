"""DDL that lets BigQuery read the compacted days: made of the same schemas and manifests as everything else."""

import pyarrow as pa

from fraudstream.lake.compaction import manifest
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import names
from fraudstream.lake.table.schemas import rows_schema


def external_table(store: ObjectStore, folder: str, dataset: str) -> str | None:
    """Statement for an external table over the files of a folder's manifests; None: no day is compacted.

    It names each file, so that what a killed compaction left isn't read; days compacted later need it anew.
    """
    days = [
        named for info in store.list(names.manifest_prefix(folder)) if (named := names.parse_manifest_name(info.name))
    ]
    files = [file.name for named in days for file in manifest.load(store, *named).files]
    if not files:
        return None
    columns = ",\n".join(f"  `{field.name}` {_type(field.type)}" for field in rows_schema(folder))
    uris = ",\n".join(f"    'gs://{store.bucket}/{name}'" for name in files)
    return f"""CREATE OR REPLACE EXTERNAL TABLE `{dataset}.{folder}` (
{columns}
)
WITH PARTITION COLUMNS (dt DATE)
OPTIONS (
  format = 'PARQUET',
  hive_partition_uri_prefix = 'gs://{store.bucket}/{folder}',
  uris = [
{uris}
  ]
);"""


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"NUMERIC({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return "INT64" if pa.types.is_integer(kind) else "STRING"
