"""Locks the customers of a write, and creates those that are missing."""

from service.domain.email import Email
from service.domain.errors import CustomerNotFound
from service.domain.values import Customer
from service.storage.unit_of_work import UnitOfWork


def lock_or_create(
    uow: UnitOfWork, emails: list[Email], *, must_exist: bool, validate_only: bool
) -> tuple[dict[str, Customer], set[str]]:
    """Locks customers and creates those that are missing.

    Returns:
        The customers by key; in a preview those that exist, otherwise all of them. And the keys of those that this
        transaction has created, or in a preview would create.

    Raises:
        CustomerNotFound: one is missing and `must_exist` is set.
    """
    found = uow.customers.lock_all(emails)
    # Backwards, so that the first of two spellings is stored.
    missing = [email for email in {email.key: email for email in reversed(emails)}.values() if email.key not in found]
    if not missing:
        return found, set()
    if must_exist:
        raise CustomerNotFound
    if validate_only:
        return found, {email.key for email in missing}
    added, created = uow.customers.create(missing)
    return found | added, created
