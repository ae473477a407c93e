"""The columns of each folder's rows."""
