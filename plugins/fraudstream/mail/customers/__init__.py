"""Customers as mails need them: address, language, time zone and name, from a template or a table."""
