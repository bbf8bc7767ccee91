"""The tests, which mirror `service/`. Every one that touches data runs on SQLite and on a real PostgreSQL."""
