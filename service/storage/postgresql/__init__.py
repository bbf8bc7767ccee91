"""The PostgreSQL backend: its driver, statements and types."""
