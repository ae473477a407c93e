"""The Iceberg tables of the lake: columns, catalog, snapshots and maintenance."""
