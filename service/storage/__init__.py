"""Where it is kept: SQLAlchemy Core on SQLite and on PostgreSQL.

`tables.py` says what there is, `dialects.py` where the two databases differ, `database.py` how a transaction is run.
"""
