"""Topics: what they must be like, their identity, and reading one as a whole."""
