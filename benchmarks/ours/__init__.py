"""What is measured: the pipeline's own parts, put together as the DAGs do."""
