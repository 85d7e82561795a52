"""Bounds how many requests with unfinished bodies there are at once.

Whoever sends a body that never ends must not keep others out. So at a bound nobody new is refused: the oldest
unfinished body is cut off. A genuine sender's body is complete after one or two round trips, long before it is the
oldest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_address

_PREFIX_BITS = 64


class UnfinishedBodies:
    """The unfinished bodies of one group. Used by the event loop only."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._all: OrderedDict[Hashable, str] = OrderedDict()
        self._by_address: dict[str, OrderedDict[Hashable, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, body: Hashable, address: str) -> Hashable | None:
        """Count it; returns the body that must be cut off for it, already not counted any more."""
        if body in self._all:
            return None
        whose = network_of(address)
        own = self._by_address.setdefault(whose, OrderedDict())
        victim = None
        if len(own) >= self._most_per_address:
            victim = next(iter(own))
        elif len(self._all) >= self._most:
            victim = next(iter(self._all))
        self._all[body], own[body] = whose, None
        if victim is not None:
            self.remove(victim)
        return victim

    def remove(self, body: Hashable) -> None:
        """It is complete or gone; does nothing if it is not counted."""
        whose = self._all.pop(body, None)
        if whose is None:
            return
        own = self._by_address[whose]
        del own[body]
        if not own:
            del self._by_address[whose]


def network_of(address: str) -> str:
    """Whom an address stands for: an IPv6 network of 64 bits belongs to one customer.

    >>> network_of("192.0.2.1"), network_of("2001:db8:1:2:3::4")
    ('192.0.2.1', '2001:db8:1:2::')
    """
    if ":" not in address:
        return address
    try:
        number = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(number, IPv6Address):
        return address
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(IPv6Address(int(number) >> _PREFIX_BITS << _PREFIX_BITS))
