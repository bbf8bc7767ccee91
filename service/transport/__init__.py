"""How gRPC reaches the use cases: servicers, the interceptor, the status table.

`interceptor.py` is what every call passes; `assignments.py` turns messages into wishes and results into messages.
"""
