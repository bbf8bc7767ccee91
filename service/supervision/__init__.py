"""Several processes that serve as one.

`supervisor.py` starts them, starts them again when they end, and stops them in order; `heartbeat.py` is between it and
each of them; `port.py` reserves the port that they share. Nothing in here knows what they serve.
"""
