"""Tortures a running service: many clients write while faults are injected, and a checker proves every answer.

`python -m tests.torture` runs it. The clients record every call; the checker reads the records and the database's
rows, so a failed run can be checked again with `python -m tests.torture --check FOLDER`.
"""
