"""What the benchmarks share: their stack, topics and files, the measured rounds, and the report."""
