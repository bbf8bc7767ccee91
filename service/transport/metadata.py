"""The names of what travels beside a message."""

API_KEY = "x-api-key"
"""The caller's key, in the call's metadata."""

RESUME_TOKEN = "resume-token"  # noqa: S105  # the name of one
"""Where a stream of operations begins, in its initial metadata."""
