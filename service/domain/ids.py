"""Generates ids, such as `op_068v6k3t1m2rgy0d4bqj`."""

import secrets
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, which sorts like the number
_RANDOM_BITS = 52


def new_id(prefix: str) -> str:
    """Returns a new id: 48 bits of time in milliseconds, so that new rows are close in an index, and 52 random ones."""
    number = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = "".join(_DIGITS[number >> shift & 31] for shift in range(95, -1, -5))
    return f"{prefix}_{digits}"
