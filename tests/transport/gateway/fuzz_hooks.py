"""What schemathesis does beside its own: fresh request ids, and a look at why a valid request was refused."""

import json
import uuid
from itertools import count
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response

KEY = "Idempotency-Key"

BEYOND_SCHEMAS = (
    "is required when devices may be created",
    "is required for a new device",
    "is required, unless customerId or pageToken is given",
    "must not be given together with",
    "must be another customer than",
    "of an earlier answer, unchanged",
    "at most 32 levels",
)
"""What no schema here tells: fields that depend on each other, tokens, and depth."""

_numbers = count(1)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _arguments: dict[str, Any]) -> None:
    """Gives valid writes an id of their own: nearly all would repeat the example's, and be refused for it."""
    if not _valid(case):
        return
    fresh = str(uuid.UUID(int=next(_numbers)))
    if isinstance(case.body, dict) and case.body.get("requestId"):
        case.body["requestId"] = fresh
    if case.headers and case.headers.get(KEY):
        case.headers[KEY] = fresh


@schemathesis.check
def refused_for_what_schemas_cannot_tell(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Looks at the violations of every valid request that was refused."""
    if not _valid(case) or response.status_code != 400:
        return
    error = json.loads(response.content)
    assert error["reason"] != "ERROR_REASON_MALFORMED_REQUEST", error
    if error["reason"] == "ERROR_REASON_INVALID_FIELDS":
        for violation in error["violations"]:
            known = any(text in violation["description"] for text in BEYOND_SCHEMAS)
            assert known, f"the schema does not tell that {violation['field']} {violation['description']}"


def _valid(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
