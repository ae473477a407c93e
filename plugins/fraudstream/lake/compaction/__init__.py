"""A closed day's JSON objects become sorted Parquet files."""
