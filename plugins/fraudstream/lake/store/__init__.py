"""Cloud Storage: objects are created only if absent, replaced by compare-and-set, and read whole or in ranges."""
