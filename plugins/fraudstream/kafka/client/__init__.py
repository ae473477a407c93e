"""Clients: configuration, login, and connections that say why they fail."""
