"""Runs the parts of the stack as processes: knows what a part is, not what it is for."""
