"""Where the data is kept: SQLAlchemy Core on SQLite and on PostgreSQL.

`unit_of_work.py` says what a use case may ask of a transaction, and `backend.py` what a database must answer.
`tables.py` has the schema, `database.py` runs transactions, and `location.py` chooses the backend of a URL. The other
modules have statements that every database reads; `postgresql/` and `sqlite/` have all that differs.
"""
