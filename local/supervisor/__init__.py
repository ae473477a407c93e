"""Starts, watches and stops the parts of the stack as processes, from data that says nothing of a part's purpose."""
