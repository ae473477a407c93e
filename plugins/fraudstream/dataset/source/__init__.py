"""Sources of datasets: local files and Cloud Storage objects, and their compression formats."""
