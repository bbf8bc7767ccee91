"""The device-assignment service: which device belongs to which customer.

Reading order: `domain/unassign_devices.py` (one use case, start to end), `storage/unit_of_work.py` (what a use case
asks of a transaction), `storage/` (how SQLite and PostgreSQL answer), `grpc_server/` (gRPC), `app.py` (which builds the
server), `rest.py` and `rest_gateway/` (REST in front of it), `workers.py` and `supervision/` (several processes).
"""
