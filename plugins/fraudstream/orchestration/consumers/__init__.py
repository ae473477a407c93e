"""Shared parts of the consumer DAGs: their tasks, the limits of a run, and the alerts about failing members."""
