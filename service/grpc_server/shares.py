"""Divides a fixed number of places among organisations, so that none of them can use up all."""


class Shares:
    """Each organisation may hold as many places as it leaves free.

    So the first one to come holds at most half, a second one a quarter, and so on: there is room for another
    organisation whatever the others hold on to, and one alone still has half. (Switches divide their buffers by the
    same rule, a dynamic threshold.) It is not thread-safe: what divides holds a lock.

    Args:
        total: how many places there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self.free = total
        self._held: dict[str, int] = {}

    @property
    def used(self) -> int:
        """How many places are taken."""
        return self._total - self.free

    def fits(self, owner: str, amount: int = 1) -> bool:
        """Returns whether an organisation may take so many more places. The last free one goes to a newcomer."""
        held = self._held.get(owner, 0)
        return amount <= self.free and (not held or held + amount <= self.free - amount)

    def take(self, owner: str, amount: int = 1) -> None:
        """Takes places that fit."""
        if not amount:
            return
        self.free -= amount
        self._held[owner] = self._held.get(owner, 0) + amount

    def release(self, owner: str, amount: int = 1) -> None:
        """Makes places free again."""
        if not amount:
            return
        self.free += amount
        if self._held[owner] == amount:
            del self._held[owner]
        else:
            self._held[owner] -= amount
