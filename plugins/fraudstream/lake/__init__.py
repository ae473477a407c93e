"""The lake: named objects, JSON lines written exactly once, compaction to Parquet, the audit."""
