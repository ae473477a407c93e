"""What the consumer DAGs share, and what bounds and watches a run of theirs."""
