"""The lake: the bucket with the JSON lines, and the catalog with the tables."""

from dataclasses import dataclass

from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.table.catalog import Tables
from fraudstream.settings import Settings


@dataclass(frozen=True, slots=True)
class Lake:
    """The JSON objects and the tables. While a row is in both, readers skip the JSON."""

    store: ObjectStore
    tables: Tables

    @classmethod
    def connect(cls, settings: Settings, bucket: str | None = None) -> "Lake":
        """Opens the lake of the settings, or that of another bucket, with the machine's own credentials.

        :raises LakeError: there are no credentials
        :raises SettingsError: the catalog can't be opened
        """
        bucket = bucket or settings.lake_bucket
        return cls(Store.connect(bucket), Tables.connect(settings, bucket))
