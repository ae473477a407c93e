"""Cloud Storage: whole objects, created if absent, replaced by compare-and-set, read in ranges."""
