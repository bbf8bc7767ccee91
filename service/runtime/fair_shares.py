"""Divides a fixed number of places among organisations, so that none of them can take all."""


class FairShares:
    """Each organisation may take as many places as it leaves free.

    So the first one takes at most half, a second one a quarter, and so on: there are places for one more organisation
    however many the others keep, and one alone still has half. (Network switches divide their buffers by the same
    rule, called dynamic threshold.) It is not thread-safe: its user holds a lock.

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
        """Returns whether an organisation may take this many more places. The last one is for one that has none."""
        held = self._held.get(owner, 0)
        return amount <= self.free and (not held or held + amount <= self.free - amount)

    def take(self, owner: str, amount: int = 1) -> None:
        """Takes places that fit."""
        if not amount:
            return
        self.free -= amount
        self._held[owner] = self._held.get(owner, 0) + amount

    def release(self, owner: str, amount: int = 1) -> None:
        """Frees places."""
        if not amount:
            return
        self.free += amount
        if self._held[owner] == amount:
            del self._held[owner]
        else:
            self._held[owner] -= amount
