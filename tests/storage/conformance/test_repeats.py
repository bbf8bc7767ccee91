"""A call and its retry at the same time: what a transaction does that finds the other's answer late."""

from unittest.mock import patch

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.options import Options
from service.domain.replay import Codec, answer_once
from service.domain.unassign_devices import UnassignDevices, unassign_devices
from service.domain.values import Reply
from service.storage.database import Database
from service.storage.transaction import Transaction
from tests.conftest import Tenant
from tests.storage.history import replayed

EMAIL = "ada@example.com"
CODEC: Codec[str] = Codec(str.encode, bytes.decode)


def test_a_retry_that_is_refused_after_other_changes_returns_the_first_answer_and_changes_nothing(
    database: Database, tenant: Tenant
) -> None:
    """The retry looks for an answer before there is one, and gets the lock after the first call and another one."""
    tenant.assign(EMAIL, ["A"])
    revision = next(token for token, had in replayed(database, tenant.id).revisions.items() if had)
    request_id = "0b5f3c1e-0000-4000-8000-000000000001"
    options = Options("key_1", request_id=request_id, expected_revision=revision)
    wish = UnassignDevices(Email.parse(EMAIL), ["A"], options)

    def call(uow: Transaction) -> tuple[str, bool]:
        return answer_once(uow, wish.request(), CODEC, lambda: unassign_devices(uow, wish).operation_id)

    looked = list[str]()

    def late(uow: Transaction) -> tuple[str, bool]:
        find = uow.replies.find

        def found(request_id: str) -> Reply | None:
            looked.append(request_id)
            return find(request_id) if len(looked) > 1 else None

        with patch.object(uow.replies, "find", side_effect=found):
            return call(uow)

    first, _ = database.write(tenant.id, Cancellation(), call)
    tenant.assign(EMAIL, ["A"])
    before = replayed(database, tenant.id)
    assert database.write(tenant.id, Cancellation(), late) == (first, True)
    assert replayed(database, tenant.id) == before
