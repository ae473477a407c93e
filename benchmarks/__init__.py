"""Speed of the data plane against its ceiling and its peers; see docs/benchmarks.md."""
