"""The names of what travels beside a message."""

import re

API_KEY = "x-api-key"
"""The caller's key, in the call's metadata."""

KEY_CHECK = "deviceassignment.v1.KeyService/CheckKey"
"""The method that checks the key of the call and does nothing else. It is the gateway's, and not in the protos."""

X_REQUEST_ID = "x-request-id"
"""What the caller calls the call, for the logs."""

LOGGED_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""The request ids that stand in a log; others are as if they were not there."""

RESUME_TOKEN = "resume-token"  # noqa: S105  # the name of one
"""Where a stream of operations begins, in its initial metadata."""

RETRY_PUSHBACK = "grpc-retry-pushback-ms"
"""How many milliseconds a client that retries by itself should wait, in the trailers of an error."""
