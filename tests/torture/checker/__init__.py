"""Checks the record of one organisation: its calls, its stream of operations and its rows.

What is checked, and how far it goes:

- **The rows** (`tables`): every customer's revisions have no gap, their times increase, every change follows from the
  state before it, and the last state is the table of current assignments.
- **Each customer** (`customers`): the answers are linearizable. An answer names the revision that it made or saw, so
  the order of versions is known and no search is needed: an answer must be exactly what the rules say of that revision,
  and no call may see or make an older version than a call that had ended before it began. Calls that do not name a
  revision (lookups, some refusals) must fit a version that this leaves open; the oldest one that fits is taken, which
  is right if any is, because reads change nothing. The check is sound (it refuses no linearizable history) and complete
  for each customer, and takes time in proportion to the number of calls, apart from sorting.
- **All customers together** (`order`): the calls that name revisions are strictly serializable. As the versions are
  known, that is the same as: the graph of "made the version that was seen", "saw the version that was replaced" and
  "ended before it began" has no cycle. Sound and complete for these calls; a transfer or a revert has all of its
  customers.
- **Addresses** (`addresses`): who holds which address is not versioned, so here the linearization is searched for, as
  Wing and Gong do, with the visited configurations remembered, as Lowe does. Each pair of addresses between which a
  customer is renamed is one object. Sound; complete for each pair, not across pairs.
- **Devices** (`devices`): a device that was seen is never unknown later.
- **Moments of the past** (`past`): what was answered for a moment more than a second ago is what the rows say of it.
- **Repeats** (`repeats`): all answers to one request id are equal byte for byte, and are what the database keeps.
- **The stream** (`stream`): it had every operation once, in the order of the table, each customer's in their order.

A call without an answer may have taken effect at any time after it began, or never. Whether it did can be told for
changes of assignments, because an operation's note names its call; there it counts as done at an unknown time. A
refused call must have changed nothing.
"""

from tests.torture.checker.check import check
from tests.torture.checker.history import History, Violation

__all__ = ["History", "Violation", "check"]
