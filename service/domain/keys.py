"""API keys: their form and their scopes."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

SCOPES = (
    "assignments:read",
    "assignments:write",
    "customers:read",
    "customers:write",
    "devices:read",
    "devices:write",
)

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PREFIX_CHARACTERS = 8
_SECRET_CHARACTERS = 40  # 238 bits

_WELL_FORMED = re.compile(f"da_[0-9A-Za-z]{{{_PREFIX_CHARACTERS}}}_[0-9A-Za-z]{{{_SECRET_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, without its secret, of which only a hash is stored. People recognise it by `prefix`."""

    id: str
    organization_id: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Principal:
    """The organisation and the scopes of a valid key."""

    key_id: str
    organization_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A key that is known, and not valid any more. `state` is `expired` or `revoked`."""

    key_id: str
    state: str


def new_secret() -> tuple[str, str]:
    """Returns a new key, which is shown once, and its prefix, which stays visible."""
    prefix = "da_" + "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX_CHARACTERS))
    return prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS)), prefix


def is_well_formed(secret: object) -> bool:
    """Returns whether a text has the form of a key. Others are not looked up in the database."""
    return isinstance(secret, str) and _WELL_FORMED.fullmatch(secret) is not None


def sha256(secret: str) -> str:
    """Returns the hash that is stored of a key. A fast hash suffices: a secret of this entropy cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Returns the named scopes in their usual order, or all of them if none is named.

    Raises:
        ValueError: a scope does not exist.
    """
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise ValueError(f"unknown scope {', '.join(unknown)}; the scopes are {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if not scopes or scope in scopes)
