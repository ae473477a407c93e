"""A package with its own name: installed libraries also have top-level folders called tests."""
