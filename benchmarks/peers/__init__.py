"""What is measured beside ours: the raw ceilings, and other ways of doing the same."""
