"""The customers' addresses, languages, time zones and names, from a template or a table."""
