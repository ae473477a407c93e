"""The lake brought back to a topic that was recreated, restored or truncated."""
