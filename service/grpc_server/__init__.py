"""The gRPC server: what every call passes, and the rpcs.

Every call passes `interceptor.py`, which has `admission.py` check it. The servicers hand a call to the file of its use
case in `rpcs`.
"""
