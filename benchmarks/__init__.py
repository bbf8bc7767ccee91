"""Measures the service beside its limits: `make bench`.

Small calls: how many a second the service answers, beside the *sum-of-costs* rate 1 / (1 / bare + 1 / empty). `bare` is
the same SQL from the bare driver, in the number of processes that does best; `empty` is a gRPC call that does nothing,
served by as many threads and called by the same client. The large call: how long it takes, beside the bare SQL.

Every measurement starts on a fresh copy of the same database, makes real changes only, and is checked by counting what
it left. The rounds take turns, so that a slow minute of the machine slows all of them; what is shown are medians.

Reading order: `work.py` (what is done), `copies.py` (where), `trace.py` and `bare.py` (the SQL without the service),
`servers.py` and `caller.py` (the service), `rounds.py` (the measuring), `report.py`, `__main__.py`.
"""
