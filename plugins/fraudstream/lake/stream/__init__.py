"""Writes the topics' records to the lake as JSON lines, each record to exactly one object."""
