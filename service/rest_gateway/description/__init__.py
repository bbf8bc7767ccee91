"""What the gateway says of itself: the OpenAPI document, and the page made of it.

`openapi.py` puts the document together, `page.py` the page, and `pages.py` serves both.
"""
