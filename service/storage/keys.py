"""API keys in SQL."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import bindparam, case, func, insert, literal_column, or_, select, update

from service.domain import keys
from service.domain.cancellation import Cancellation
from service.domain.ids import new_id
from service.domain.keys import ApiKey, Principal, RefusedKey
from service.storage.database import Database
from service.storage.numbers import number_in_session
from service.storage.statement import Statement
from service.storage.tables import api_key, organization

_COLUMNS = (
    api_key.c.id,
    organization.c.id.label("organization_id"),
    api_key.c.prefix,
    api_key.c.scopes,
    api_key.c.created_at,
    api_key.c.expires_at,
    api_key.c.revoked_at,
    api_key.c.last_used_at,
)
# One statement for every key, so that an unknown, an expired and a revoked one take the same time.
_BY_HASH = Statement(
    select(
        api_key.c.id,
        organization.c.id,
        api_key.c.scopes,
        case(
            (api_key.c.revoked_at.is_not(None), literal_column("'revoked'")),
            (api_key.c.expires_at <= func.clock_timestamp(), literal_column("'expired'")),
            else_=literal_column("''"),
        ),
    )
    .join(organization, organization.c.number == api_key.c.organization_number)
    .where(api_key.c.sha256 == bindparam("hash"))
)
_USED = (
    update(api_key)
    .where(
        api_key.c.id == bindparam("key_id"),
        or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at < bindparam("used_at")),
    )
    .values(last_used_at=bindparam("used_at"))
)


class Keys:
    """The API keys of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def principal(self, sha256: str, cancellation: Cancellation | None = None) -> Principal | None:
        """Finds the principal of a key by the key's hash. None if the key is unknown, expired or revoked."""
        found = self.find(sha256, cancellation or Cancellation())
        return found if isinstance(found, Principal) else None

    def find(self, sha256: str, cancellation: Cancellation) -> Principal | RefusedKey | None:
        """Finds the principal of a key by the key's hash, or why it is refused. None if the key is unknown."""
        # `read` runs it again if the pooled connection turns out to be lost: every call depends on this one.
        rows = self._database.read(
            "",
            cancellation,
            lambda reading: reading.connection.rows(_BY_HASH, {"hash": sha256}),
            one_statement=True,
        )
        if not rows:
            return None
        key_id, organization_id, scopes, state = rows[0]
        return RefusedKey(key_id, state) if state else Principal(key_id, organization_id, frozenset(scopes.split()))

    def create(self, organization_id: str, scopes: Iterable[str], expires_at: datetime | None) -> tuple[ApiKey, str]:
        """Adds a key. Returns what is stored of it, and the key itself, which is not stored."""
        secret, prefix = keys.new_secret()
        values = {
            "sha256": keys.sha256(secret),
            "id": new_id("key"),
            "prefix": prefix,
            "scopes": " ".join(scopes),
            "expires_at": expires_at,
        }
        statement = insert(api_key).values(created_at=func.clock_timestamp())
        with self._database.session() as connection:
            number = number_in_session(connection, organization_id)
            connection.execute(statement, {**values, "organization_number": number})
        return next(key for key in self.all() if key.id == values["id"]), secret

    def all(self) -> list[ApiKey]:
        """Lists every key, the oldest first."""
        statement = select(*_COLUMNS).join(organization).order_by(api_key.c.created_at, api_key.c.id)
        with self._database.session(write=False) as connection:
            rows = connection.execute(statement).all()
        return [ApiKey(row[0], row[1], row[2], tuple(row[3].split()), *row[4:]) for row in rows]

    def revoke(self, key_id: str) -> bool:
        """Revokes a key, unless it is revoked already. Returns whether the key exists."""
        statement = (
            update(api_key)
            .where(api_key.c.id == key_id)
            .values(revoked_at=func.coalesce(api_key.c.revoked_at, func.clock_timestamp()))
        )
        with self._database.session() as connection:
            return connection.execute(statement).rowcount > 0

    def used(self, moments: Mapping[str, datetime]) -> None:
        """Records when keys were last used."""
        if moments:
            rows = [{"key_id": key_id, "used_at": at} for key_id, at in sorted(moments.items())]
            with self._database.session() as connection:
                connection.execute(_USED, rows)
