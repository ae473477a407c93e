"""SQL on the lake's rows."""
