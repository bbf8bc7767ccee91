"""How gRPC reaches the use cases: servicers, the interceptor, the status table.

`interceptor.py` is what every call passes, and `admission.py` lets it in; `assignments.py` turns messages into wishes
and results into messages.
"""
