"""The SQLite backend: its driver, statements and types."""
