"""Compaction: moves the rows of JSON objects to sorted Parquet files of the Iceberg tables."""
