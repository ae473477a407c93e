"""Confirmation links: signed, and read back however mail clients damaged them."""
