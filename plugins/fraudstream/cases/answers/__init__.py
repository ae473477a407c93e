"""Answers to cases: publishing them, which of them count, staff decisions, and statistics."""
