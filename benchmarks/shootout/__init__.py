"""Sends the same records through several sinks, injects faults, and counts the result with plain readers."""
