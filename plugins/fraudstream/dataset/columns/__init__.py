"""The columns of a dataset: header forms, valid values, and the notation of numbers."""
