"""Writes mails: recipients, templates and encoding."""
