"""Confirmation links: signed, and readable even if mail clients damaged them."""
