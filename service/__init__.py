"""The device-assignment service: which device belongs to which customer.

Reading order: `domain/unassign_devices.py` (one use case, start to end), `storage/unit_of_work.py` (what a use case
asks of a transaction), `storage/` (how SQLite and PostgreSQL answer), `grpc_server/rpcs/unassign_devices.py` (the same
use case over gRPC), `grpc_server/` (what every call passes), `method_table.py` (scopes, limits and paths), `app.py`
(which builds the server), `rest.py` and `rest_gateway/` (REST in front of it), `workers.py` and `supervision/` (several
processes).
"""
