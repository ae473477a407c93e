"""The columns of a dataset: header forms, valid values, and how numbers are written."""
