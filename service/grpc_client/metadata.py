"""The names of metadata, and of an rpc that is not in the protos."""

import re

API_KEY = "x-api-key"
"""The API key, in the metadata of a call."""

KEY_CHECK = "deviceassignment.v1.KeyService/CheckKey"
"""An rpc that only checks the key of the call. It is for the gateway, and not in the protos."""

X_REQUEST_ID = "x-request-id"
"""The caller's id of the call, for the logs."""

LOGGED_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""The request ids that are logged; others are ignored."""

RESUME_TOKEN = "resume-token"  # noqa: S105  # the name of one
"""The resume token of the beginning of a stream of operations, in its initial metadata."""

RETRY_PUSHBACK = "grpc-retry-pushback-ms"
"""The delay in milliseconds before gRPC retries a call, in the trailers of an error."""
