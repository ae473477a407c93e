"""JSON lines of the topics' records, each in exactly one object once."""
