"""The OpenAPI 3.1 description of the gateway: from the table of routes, the descriptors and the protos' comments."""

import json
from collections.abc import Iterator
from pathlib import Path

from deviceassignment.v1 import errors_pb2

from service.rest_gateway.routes import ROUTES
from tools.openapi import errors
from tools.openapi.comments import Comments
from tools.openapi.operations import Operations, tag
from tools.openapi.parameters import HEADERS, PARAMETERS
from tools.openapi.probes import PROBES
from tools.openapi.schemas import Schemas
from tools.openapi.shared_schemas import Schema

EXAMPLES = Path(__file__).parent / "examples.json"
"""An example of each call and each error. The calls are one story, in their order; a test plays it."""

_INTRODUCTION = """\
Every call but `/healthz` and `/readyz` needs an API key in the header `x-api-key`. The key determines the \
organisation: no request names one, and a customer or device of another organisation is the same as an unknown one.

Requests and answers are JSON in UTF-8. An unknown field is an error, so that a misspelt `validateOnly` does not \
become a write; null is the same as absent. An answer always has all its fields, empty lists and false included; \
only `phone` and `address` are absent if they are not set.

A call without an answer may have been done. Give each write a new UUID, as `requestId` or in the header \
`Idempotency-Key`, and repeat it with the same UUID: for at least 24 hours it is done once, and each repeat \
returns the first answer.

Every error is an `Error`: a sentence for people and a `reason` for programs. Besides the errors that are listed with \
each call, an unknown path is 404, and a wrong method is 405 with the header `Allow`.\
"""

_KEY = "A key of the organisation, with the scope that the call needs. Made with `device-assignment key create`."


class DocumentError(Exception):
    """The document cannot be built; the text says what is missing and where to add it."""


def build(version: str) -> Schema:
    """Builds the document.

    Args:
        version: the version of the service.

    Raises:
        DocumentError: a call has no example.
    """
    comments = Comments()
    schemas = Schemas(comments)
    examples = json.loads(EXAMPLES.read_bytes())
    calls = {call["rpc"]: call for call in examples["calls"]}
    if missing := [route.method.name for route in ROUTES if route.method.name not in calls]:
        raise DocumentError(f"{', '.join(missing)}: no example in tools/openapi/examples.json; add one")
    operations = Operations(comments, schemas, calls)
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        path, operation = operations.describe(route)
        paths.setdefault(path, {})[route.http_method.lower()] = operation
    reason = schemas.enum(errors_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"], is_request=False)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "device-assignment",
            "version": version,
            "summary": "Owns which device belongs to which customer, for many organisations at once.",
            "description": _INTRODUCTION,
        },
        "tags": list(_tags(comments)),
        "security": [{"apiKey": []}],
        "paths": paths | PROBES,
        "components": {
            "schemas": schemas.components | {"Error": errors.error(reason)},
            "responses": errors.responses(examples["errors"]),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": _KEY}},
        },
    }


def _tags(comments: Comments) -> Iterator[Schema]:
    for service in dict.fromkeys(route.method.containing_service.name for route in ROUTES):
        yield {"name": tag(service), "description": comments.of(service)}
    yield {"name": "Health", "description": "For load balancers and orchestrators."}
