"""Operators of the DAGs, a module for each kind of work."""
