"""Benchmarks that compare the pipeline with a ceiling and with other tools; see docs/benchmarks.md."""
