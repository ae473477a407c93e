"""Clients: configuration, login, and errors that name the cause of a failed connection."""
