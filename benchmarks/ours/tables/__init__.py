"""The measured processes that work on the lake's tables."""
