"""The local stack's mail server: SMTP in, a SQLite file, a page and a JSON API out."""
