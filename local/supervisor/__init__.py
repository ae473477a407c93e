"""Starts, watches and stops the parts of the stack as processes. It knows their definitions, not their purpose."""
