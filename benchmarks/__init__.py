"""Measures the service beside its limits: `make bench`, and what takes long: `make bench-large`.

Everything happens on one machine and in turns, so that a slow minute slows all of it; what is shown are medians over
the rounds. Every counted write is a real change: each call has a number, the number has a customer and devices of its
own, and each run ends with a count of the operations and of the history.

The limits: `empty` is a gRPC call that does nothing, with messages as large as the real ones, from a threaded and from
an asyncio server, the better of the two. `bare` is the same SQL from the bare driver; `pgbench` is the same SQL as a
pgbench script. The SQL is recorded from calls to the service itself. A call that is as cheap as its halves together
has the rate 1 / (1 / pgbench + 1 / empty), the *sum of costs*.

Reading order: `works.py` (what is called), `fleet.py` (the databases), `trace.py` (records SQL), `bare.py`,
`pgbench.py` and `empty.py` (the limits), `load.py` (calls; `load/` is its program in Go), `subjects.py`, `large.py`
and `beside.py` (the measuring), `rows.py` (what is compared with what), `report.py`, `chart.py`, `__main__.py`. Of
`make bench-large`: `growth.py`, `million.py`, `memory.py`.

One organisation beside another: `fairness.py`, with what the first does in `crowd.py` and the times of the second in
`patient.py`. `make bench-before`: `before.py` measures an earlier commit's server and this one in turns; `other.py`
fills the earlier one's databases.
"""
