"""The OpenAPI 3.1 description of the gateway: from the table of routes, the descriptors and the protos' comments."""

import importlib.resources
import json
from collections.abc import Iterator

from deviceassignment.v1 import errors_pb2

from service.rest_gateway.description.comments import Comments
from service.rest_gateway.description.operations import Operations, tag
from service.rest_gateway.description.parameters import HEADERS, PARAMETERS
from service.rest_gateway.description.probes import PROBES
from service.rest_gateway.description.schemas import Schema, Schemas
from service.rest_gateway.routes import ROUTES
from service.version import VERSION

_INTRODUCTION = """\
Every call needs an API key in the header `x-api-key`, but for `/healthz` and `/readyz`. The key decides the \
organisation: nothing in a request names one, and a customer or device of another organisation looks exactly like an \
unknown one.

Requests and answers are JSON in UTF-8. A field that is not known is refused, so that a misspelt `validateOnly` does \
not become a write; null is the same as absent. An answer always has all its fields, empty lists and false included; \
only `phone` and `address` are left out where there is none.

A call whose answer got lost may have been done. Give each write a new UUID, as `requestId` or in the header \
`Idempotency-Key`, and repeat it with the same one for at least 24 hours: it is done once, and every repeat gets the \
first answer.

Every error is an `Error`: a sentence, and with it a `reason` to act upon. Besides those that are listed with each \
call, an unknown path is answered with 404, and a wrong method with 405 and the header `Allow`.\
"""

_KEY = "A key of the organisation, with the scope that the call needs. Made with `device-assignment key create`."

_MEANINGS = {
    "400": "The request is not valid, or cannot be done as it is.",
    "401": "The API key is missing, unknown, expired or revoked.",
    "403": "The API key lacks the scope.",
    "404": "The organisation has no such customer, device or operation; or there is nothing at the path.",
    "405": "The path is for another method.",
    "409": "Another customer has the e-mail address, or the assignments have changed, or the call should be retried.",
    "408": "The body did not arrive within the request's deadline.",
    "413": "The body is longer than this path takes, or has more JSON values.",
    "415": "The body is not JSON by its own word.",
    "429": "The key's rate limit is used up, or the server has more to do than it can take.",
    "500": "A defect of the service.",
    "503": "The service or its database is away, or the gateway has all the connections or bodies that it takes on.",
    "504": "The call was not done in time.",
}
_HEADERS_OF = {"405": ["Allow"], "409": ["Retry-After"], "429": ["Retry-After"], "503": ["Retry-After"]}


def build() -> Schema:
    """Builds the document."""
    comments = Comments()
    schemas = Schemas(comments)
    examples = json.loads(importlib.resources.files(__package__).joinpath("examples.json").read_bytes())
    operations = Operations(comments, schemas, {call["rpc"]: call for call in examples["calls"]})
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        path, operation = operations.describe(route)
        paths.setdefault(path, {})[route.http_method.lower()] = operation
    reason = schemas.enum(errors_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"], asked=False)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "device-assignment",
            "version": VERSION,
            "summary": "Owns which device belongs to which customer, for many organisations at once.",
            "description": _INTRODUCTION,
        },
        "tags": list(_tags(comments)),
        "security": [{"apiKey": []}],
        "paths": paths | PROBES,
        "components": {
            "schemas": schemas.components | {"Error": _error(reason)},
            "responses": _failures(examples["errors"]),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": _KEY}},
        },
    }


def _tags(comments: Comments) -> Iterator[Schema]:
    for service in dict.fromkeys(route.method.containing_service.name for route in ROUTES):
        yield {"name": tag(service), "description": comments.of(service)}
    yield {"name": "Health", "description": "For load balancers and orchestrators."}


def _error(reason: Schema) -> Schema:
    text = {"type": "string"}
    violation = {
        "type": "object",
        "properties": {"field": text, "description": text},
        "required": ["field", "description"],
    }
    properties = {
        "error": {**text, "description": "What went wrong and what to do about it: a sentence for people."},
        "reason": {
            **reason,
            "description": "What went wrong, for programs. Absent if the service itself did not answer.",
        },
        "violations": {
            "type": "array",
            "items": violation,
            "description": "Each thing that is wrong: the field, such as `deviceIdentifiers[3]`, and what to do about "
            "it, or the `SkipReason`. The first 20.",
        },
        "violationsOmitted": {
            "type": "integer",
            "description": "How many more violations there are at least, if there are.",
        },
        "scope": {**text, "description": "With `ERROR_REASON_SCOPE_MISSING`: the scope that the key lacks."},
        "deviceCount": {
            "type": "integer",
            "description": "With `ERROR_REASON_COUNT_DIFFERS`: how many devices the customer has.",
        },
        "callId": {**text, "description": "The id under which the log knows the call."},
    }
    return {
        "type": "object",
        "description": "Why a call failed.",
        "properties": properties,
        "required": ["error", "callId"],
    }


def _failures(errors: dict[str, dict[str, Schema]]) -> dict[str, Schema]:
    described: dict[str, Schema] = {}
    for status, examples in errors.items():
        headers = ["X-Request-Id", *_HEADERS_OF.get(status, ())]
        described[status] = {
            "description": _MEANINGS[status],
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "examples": {name: {"value": example} for name, example in examples.items()},
                }
            },
        }
    return described
