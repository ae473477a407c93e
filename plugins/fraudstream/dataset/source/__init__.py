"""Where a dataset lies and what it is packed in: its unpacked content, read by ranges."""
