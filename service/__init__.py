"""The device-assignment service: which device belongs to which customer.

Reading order: `domain/unassign.py` (one use case, start to end), `domain/unit_of_work.py` (what a use case asks of a
transaction), `storage/` (how SQLite and PostgreSQL answer), `transport/` (how gRPC reaches it), `app.py` (how it is
put together), `rest.py` and `transport/gateway/` (REST in front of it), `workers.py` and `supervision/` (how several
processes serve as one) and `cli/` (how it is started).
"""
