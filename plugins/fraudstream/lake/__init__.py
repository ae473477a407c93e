"""The lake: JSON lines written exactly once, compaction to Iceberg tables, queries, and the audit."""
