"""Mails as they are written: recipients, templates, encoding."""
