"""Makes `openapi.json` and `docs.html`, which the gateway serves, in `generated/`: `make proto` runs it.

`document.py` builds the OpenAPI document from the table of routes, the descriptors, the comments of the protos and
`examples.json`; `page.py` renders the page at `/docs` from the document.
"""
