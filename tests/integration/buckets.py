"""Lakes on their own buckets: the stack's object store and catalog properties, with the catalog in a file."""

import os
from pathlib import Path

from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.table.catalog import CATALOG, Tables
from fraudstream.lake.table.lake import Lake
from pyiceberg.catalog.sql import SqlCatalog


def lake_on(store: Store, directory: Path) -> Lake:
    """A lake whose tables are in the bucket, as those of the local stack are."""
    properties = {
        "uri": f"sqlite:///{directory}/catalog.db",
        "warehouse": f"gs://{store.bucket}/iceberg",
        "gcs.service.host": os.environ["STORAGE_EMULATOR_HOST"],
        "gcs.oauth2.token": "none",
        "gcs.oauth2.token-expires-at": "4102444800000",
    }
    return Lake(store, Tables(SqlCatalog(CATALOG, **properties), store.bucket))
