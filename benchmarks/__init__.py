"""Measures the service beside its limits: `make bench`, and what takes long: `make bench-large`.

Everything happens on one machine and in turns, so that a slow minute slows all of it; what is shown are medians over
the rounds. Every counted write is a real change: each call has a number, the number has a customer and devices of its
own, and each run ends with a count of the operations and of what they changed.

The limits: `empty` is a gRPC call that does nothing, with messages as long as the real ones. `bare` is the same SQL
from the bare driver. `replay` sends PostgreSQL the recorded messages of the calls again, on as many connections as
calls were in flight. A call that is as cheap as its halves together has the rate 1 / (1 / replay + 1 / empty), the *sum
of costs*.

Reading order: `works.py` (what is called), `fleet.py` (the databases), `load.py` (makes the calls; `load/` is its
program in Go), `rows.py` (what is measured), `record.py`, `limits.py` and `empty.py` (the limits), `report.py`,
`chart.py`, `__main__.py`. `before.py` measures an earlier commit's server and this one in turns.

Programs of their own: `fairness.py` (one organisation beside what another does, which is in `crowd.py`), `gateway.py`,
`size.py` (bytes of the tables), and, for `make bench-large`, `growth.py` and `memory.py`.
"""
