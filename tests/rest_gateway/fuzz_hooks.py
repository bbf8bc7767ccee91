"""What schemathesis does beside its own: fresh request ids, and a look at why a valid request was refused."""

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
"""What no schema here tells: fields that depend on each other, tokens, the clock, and depth."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_numbers = count(1)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _arguments: dict[str, Any]) -> None:
    """Gives writes an id of their own: most would repeat the example's, and be refused for that alone."""
    fresh = str(uuid.UUID(int=next(_numbers)))
    for place, name in ((case.body, "requestId"), (case.headers, KEY)):
        if isinstance(place, MutableMapping) and _UUID.fullmatch(str(place.get(name))):
            place[name] = fresh


@schemathesis.hook
def filter_case(_context: HookContext, case: Case[Any]) -> bool:
    """Leaves out a request that has a header more than described: it is taken for wrong, and is not."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})


@schemathesis.check
def refused_for_what_is_wrong(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Looks at why a request was refused: a valid one for what no schema tells, and one that is not for that."""
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
            assert known, f"the schema does not tell that {violation['field']} {violation['description']}"
