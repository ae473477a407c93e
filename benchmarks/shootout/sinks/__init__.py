"""The sinks that are compared, and the jobs that they run."""
