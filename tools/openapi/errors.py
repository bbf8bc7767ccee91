"""The description of errors: their schema, and what each status means."""

from tools.openapi.shared_schemas import Schema

_MEANINGS = {
    "400": "The request is not valid, or cannot be done as it is.",
    "401": "The API key is missing, unknown, expired or revoked.",
    "403": "The API key lacks the scope.",
    "404": "The organisation has no such customer, device or operation; or there is nothing at the path.",
    "405": "The path is for another method.",
    "409": "Another customer has the e-mail address, the assignments have changed, or the call should be retried.",
    "408": "The body did not arrive within the request's deadline.",
    "413": "The body is longer than this path takes, or has more JSON values.",
    "415": "The Content-Type or Content-Encoding is not that of JSON.",
    "429": "The rate limit of the key is exceeded, or the server is overloaded.",
    "500": "A defect of the service.",
    "503": "The service or its database is unavailable, or the gateway has reached a limit.",
    "504": "The call was not done in time.",
}
_HEADERS_OF = {"405": ["Allow"], "409": ["Retry-After"], "429": ["Retry-After"], "503": ["Retry-After"]}


def error(reason: Schema) -> Schema:
    """Returns the schema of an error; `reason` is the schema of `ErrorReason`."""
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
            "description": "What is wrong: the field, such as `deviceIdentifiers[3]`, and what to do about it, or the "
            "`SkipReason`. The first 20.",
        },
        "violationsOmitted": {
            "type": "integer",
            "description": "The least number of further violations, if there are any.",
        },
        "scope": {**text, "description": "With `ERROR_REASON_SCOPE_MISSING`: the scope that the key lacks."},
        "deviceCount": {
            "type": "integer",
            "description": "With `ERROR_REASON_COUNT_DIFFERS`: how many devices the customer has.",
        },
        "callId": {**text, "description": "The id of the call in the log."},
    }
    return {
        "type": "object",
        "description": "Why a call failed.",
        "properties": properties,
        "required": ["error", "callId"],
    }


def responses(errors: dict[str, dict[str, Schema]]) -> dict[str, Schema]:
    """Describes the answer of each status; `errors` has examples by status and name."""
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
