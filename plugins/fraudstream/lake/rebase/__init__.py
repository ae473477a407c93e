"""Rolls the lake back to the state of a topic that was recreated, restored or truncated."""
