"""Consumers: members of consumer groups that feed sinks."""
