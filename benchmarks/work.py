"""What is measured: kinds of calls, and the customers and devices that they need."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.email import Email
from service.domain.import_lines import Line

DEVICES_OF_A_CUSTOMER = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One UnassignDevices. Its customer has no other, and has all its devices, so that it ends every one of them."""

    customer_email: str
    identifiers: list[str]


@dataclass(frozen=True, slots=True)
class Work:
    """A number of calls, the first of which only warm up and are not timed."""

    name: str
    calls: list[Call]
    warming: int
    in_flight: int

    @property
    def timed(self) -> int:
        """How many calls count."""
        return len(self.calls) - self.warming

    @property
    def identifiers(self) -> int:
        """How many assignments all calls end."""
        return sum(len(call.identifiers) for call in self.calls)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Customers, each with a number of devices that nobody else has."""

    devices_of: list[int]

    def _call(self, customer: int, size: int) -> Call:
        return Call(f"customer{customer}@example.com", [f"{customer:04}-{number:06}" for number in range(size)])

    def lines(self) -> Iterator[Line]:
        """Gives the import that makes the fleet."""
        number = 1
        for customer, devices in enumerate(self.devices_of):
            owned = self._call(customer, devices)
            email = Email.parse(owned.customer_email)
            for number, identifier in enumerate(owned.identifiers, number + 1):  # noqa: B020  # goes on
                yield Line(number, email, identifier, "thermostat")

    def work(self, name: str, sizes: list[int], *, warming: int, in_flight: int) -> Work:
        """Has the first customer end its first devices, as many as the first size says, and so on."""
        return Work(name, [self._call(*pair) for pair in enumerate(sizes)], warming, in_flight)


_WARMING, _TIMED = 80, 800
SMALL = Fleet([DEVICES_OF_A_CUSTOMER] * (_WARMING + _TIMED))
SMALL_WORKS = [
    SMALL.work(
        f"small calls, {size} identifier{'s' * (size > 1)}",
        [size] * (_WARMING + _TIMED),
        warming=_WARMING,
        in_flight=16,
    )
    for size in (1, 10)
]

LARGE = Fleet([DEVICES_OF_A_CUSTOMER] * 10 + [200_000])
LARGE_WORK = LARGE.work("one call, 100,000 of 200,000", [10] * 10 + [100_000], warming=10, in_flight=1)
