"""Makes the HTTP error of a gRPC call that failed, with the names of JSON in its texts."""

import math
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1.errors_pb2 import ErrorReason

from service.grpc_client import failure
from service.grpc_client.failure import CallFailed
from service.rest_gateway import errors
from service.rest_gateway.http_error import STATUSES, HTTPError
from service.rest_gateway.violations import member

_JSON_NAMES = {
    field.name: field.json_name
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for message in file.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    if field.name != field.json_name
} | {"call_id": "callId"}
_NAME = re.compile(r"[a-z]+(?:_[a-z]+)+")
_MAP_MEMBER = re.compile(r"(\w+)\[(\d+)\](?:\.\w+)?")


def from_rpc_error(error: Any, map_field: str = "", keys: Sequence[str] = ()) -> HTTPError:
    """Returns the HTTP error of a `grpc.RpcError`; the other arguments are those of `from_call`."""
    return from_call(failure.from_error(error), map_field, keys)


def from_call(failed: CallFailed, map_field: str = "", keys: Sequence[str] = ()) -> HTTPError:
    """Returns the HTTP error of a failed call.

    Args:
        failed: the failure.
        map_field: a list of the request that JSON has as an object.
        keys: the names of that object's members, in the order of the list.
    """
    if not failed.reason:
        error = _without_reason(failed)
        error.cause = f"{failed.code}: {failed.text}"
        return error
    headers = {} if failed.retry_seconds is None else {"Retry-After": str(max(1, math.ceil(failed.retry_seconds)))}

    def path(name: str) -> str:
        found = _MAP_MEMBER.fullmatch(name)
        if found and found[1] == map_field and int(found[2]) < len(keys):
            return member(map_field, keys[int(found[2])])
        return _json_names(name)

    violations = [(path(name), _json_names(description)) for name, description in failed.violations]
    text = _json_names(failed.summary).replace("the metadata x-api-key", "the header x-api-key")
    if violations:
        omitted = int(failed.metadata.get("violations_omitted", "0"))
        first = "; ".join(f"{name}: {description}" for name, description in violations[:3])
        more = max(0, len(violations) - 3) + omitted
        text += f": {first}" + (f"; and {more} more" if more else "")
    metadata = {
        _camel_case(name): int(value) if value.isdecimal() and name != "call_id" else value
        for name, value in failed.metadata.items()
    }
    return HTTPError(STATUSES.get(failed.code, 500), text, failed.reason, violations, metadata, headers)


def _without_reason(failed: CallFailed) -> HTTPError:
    """Returns the error of a failure that gRPC or a proxy reports, whose text names addresses and libraries."""
    match failed.code:
        case "UNAVAILABLE" | "CANCELLED":
            # The server's side cancelled it: a request whose client disconnects is not answered.
            return errors.unavailable()
        case "DEADLINE_EXCEEDED":
            return errors.deadline_exceeded()
        case "RESOURCE_EXHAUSTED" if "larger than max" in failed.text:
            return errors.malformed("The request is bigger than the service takes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        case "RESOURCE_EXHAUSTED":
            reason = ErrorReason.Name(ErrorReason.ERROR_REASON_OVERLOADED)
            text = "The service has more to do than it can take; retry later"
            return HTTPError(HTTPStatus.TOO_MANY_REQUESTS, text, reason, headers={"Retry-After": "1"})
        case "UNIMPLEMENTED":
            return errors.unknown_path()
    return errors.internal()


def _json_names(text: str) -> str:
    return _NAME.sub(lambda found: _JSON_NAMES.get(found[0], found[0]), text)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
