"""Hooks for schemathesis: new request ids, and a check why a valid request was refused."""

import json
import re
import uuid
from collections.abc import MutableMapping
from http import HTTPStatus
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
    "of an earlier answer to the same request, unchanged",
    "of this customer's listing",
    "ahead of the database's clock",
    "at most 32 levels",
)
"""What the schemas cannot express: fields that depend on each other, tokens, the clock, and depth."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_numbers = count(1)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _arguments: dict[str, Any]) -> None:
    """Sets a new request id in each write: most would repeat that of the example, and be refused for it."""
    fresh = str(uuid.UUID(int=next(_numbers)))
    for place, name in ((case.body, "requestId"), (case.headers, KEY)):
        if isinstance(place, MutableMapping) and _UUID.fullmatch(str(place.get(name))):
            place[name] = fresh


@schemathesis.hook
def filter_case(_context: HookContext, case: Case[Any]) -> bool:
    """Skips requests with an additional header: schemathesis expects an error, but they are valid."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})


@schemathesis.check
def refused_for_what_is_wrong(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Checks why a request was refused: a valid one only for what the schemas cannot express."""
    if case.meta is None or response.status_code != HTTPStatus.BAD_REQUEST:
        return
    error = json.loads(response.content)
    if case.meta.generation.mode is GenerationMode.NEGATIVE:
        assert error["reason"] in {"ERROR_REASON_INVALID_FIELDS", "ERROR_REASON_MALFORMED_REQUEST"}, error
        return
    assert error["reason"] != "ERROR_REASON_MALFORMED_REQUEST", error
    if error["reason"] == "ERROR_REASON_INVALID_FIELDS":
        for violation in error["violations"]:
            known = any(text in violation["description"] for text in BEYOND_SCHEMAS)
            assert known, f"the schema does not express that {violation['field']} {violation['description']}"
