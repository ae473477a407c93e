"""Topics: their definitions, their identity, and reading a whole topic."""
