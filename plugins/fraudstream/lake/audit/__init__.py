"""Topics and lake compared."""
