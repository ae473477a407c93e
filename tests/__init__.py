"""A package of its own: installed libraries have folders called tests, too."""
