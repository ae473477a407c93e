"""The local stack's mail server: receives mails over SMTP, stores them in SQLite, has a web page and a JSON API."""
