"""The measured processes of the pipeline: its own classes, combined as in the DAGs."""
