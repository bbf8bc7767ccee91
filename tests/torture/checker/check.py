"""Runs every check over the record of one organisation."""

from tests.torture.checker import answers, whole
from tests.torture.checker.addresses import check_group
from tests.torture.checker.customers import check_customer
from tests.torture.checker.history import History, Violation
from tests.torture.checker.order import check_order
from tests.torture.checker.tables import replay


def check(history: History) -> list[Violation]:
    """Checks a record. Returns everything that is wrong in it; nothing, if it is as it must be."""
    replayed = replay(history)
    read = answers.read(history, replayed)
    found = [*replayed.violations, *read.violations]
    for customer_id, seen in read.customers.items():
        found += check_customer(customer_id, seen, replayed)
    found += check_order(read.by_call)
    for group, said in read.groups.items():
        found += check_group(said, len(group))
    found += whole.check_devices(read)
    found += whole.check_past(read)
    found += whole.check_repeats(history)
    found += whole.check_stream(history, replayed)
    return found
