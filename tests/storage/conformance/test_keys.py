"""API keys in the database: only their hashes, and valid until they expire or are revoked."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from service.domain import keys
from service.domain.keys import SCOPES
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import NameTaken, Organizations
from tests.conftest import Tenant, new_tenant


def test_a_key_belongs_to_its_organisation_and_has_its_scopes(database: Database, tenant: Tenant) -> None:
    other = new_tenant(database, "other")
    made, secret = Keys(database).create(other.id, SCOPES[:2], None)
    principal = Keys(database).principal(keys.sha256(secret))
    assert principal is not None
    assert (principal.key_id, principal.organization_id, principal.scopes) == (made.id, other.id, frozenset(SCOPES[:2]))
    assert secret.startswith(f"{made.prefix}_")


def test_neither_a_key_nor_a_part_of_its_secret_is_in_the_database(database: Database, tenant: Tenant) -> None:
    with database.session(write=False) as connection:
        (row,) = connection.execute(text("SELECT * FROM api_key")).all()
    secret = tenant.api_key.rpartition("_")[2]
    assert len(secret) == 40
    assert secret[:8] not in " ".join(map(str, row))
    assert keys.sha256(tenant.api_key) in row


def test_an_unknown_key_has_no_principal(database: Database, tenant: Tenant) -> None:
    assert Keys(database).principal(keys.sha256(tenant.api_key + "x")) is None
    assert Keys(database).principal("") is None


@pytest.mark.parametrize(("seconds", "good"), [(-1, False), (3600, True)])
def test_a_key_is_valid_until_it_expires(database: Database, tenant: Tenant, seconds: int, good: bool) -> None:  # noqa: FBT001  # a parameter
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    made, secret = Keys(database).create(tenant.id, SCOPES, expires_at)
    assert made.expires_at == expires_at
    assert (Keys(database).principal(keys.sha256(secret)) is not None) == good


def test_a_key_is_revoked_once_and_stays_revoked(database: Database, tenant: Tenant) -> None:
    stored = Keys(database)
    second, secret = stored.create(tenant.id, SCOPES, None)
    assert stored.revoke(tenant.key_id)
    assert stored.principal(keys.sha256(tenant.api_key)) is None
    assert stored.principal(keys.sha256(secret)) is not None
    revoked = {key.id: key.revoked_at for key in stored.all()}
    assert revoked[second.id] is None
    assert stored.revoke(tenant.key_id)
    assert {key.id: key.revoked_at for key in stored.all()} == revoked
    assert not stored.revoke("key_unknown")


def test_the_last_use_is_recorded_and_never_moves_back(database: Database, tenant: Tenant) -> None:
    stored = Keys(database)
    now = datetime.now(UTC)
    for used_at in (now, now - timedelta(hours=1)):
        stored.used({tenant.key_id: used_at, "key_unknown": used_at})
        assert [key.last_used_at for key in stored.all()] == [now]
    stored.used({})
    assert [key.last_used_at for key in stored.all()] == [now]


def test_the_name_of_an_organisation_is_taken_once(database: Database, tenant: Tenant) -> None:
    with pytest.raises(NameTaken):
        Organizations(database).create("acme")
    zeta = Organizations(database).create("Zeta")
    assert {found.name for found in Organizations(database).all()} == {"Zeta", "acme"}
    for name in ("Zeta", zeta.id):
        assert Organizations(database).named(name) == zeta
    assert Organizations(database).named("zeta") is None
