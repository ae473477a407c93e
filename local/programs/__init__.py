"""Programs that PyPI doesn't have: found on the machine, or downloaded and checked."""
