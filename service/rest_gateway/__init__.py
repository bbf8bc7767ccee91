"""The REST gateway: JSON in, a gRPC call, JSON out. It has no rule, no check of rights and no storage of its own.

`routes.py` is the table of what it serves; `application.py` puts the rest together, and `pages.py` serves its
description, which `tools/openapi` makes.
"""
