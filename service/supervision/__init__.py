"""Several processes that serve as one.

`supervisor.py` starts them, starts them again when they die, and stops them in order; `link.py` is the line between it
and each of them. Nothing in here knows what they serve.
"""
