"""SQL queries and look-ups over the lake's rows."""
