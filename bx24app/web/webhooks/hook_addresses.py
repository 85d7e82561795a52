"""Whose hook address a request below `/mango` is for, and whether its sender is refused whatever the body says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl

from bx24app.infra import rate_limit
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime

_log = get_logger(__name__)


def split_address(path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Hook key and suffix of a request below `/mango`; a path segment is a hook key only if there is no `pbx`.

    >>> split_address("KEY/events/call", {})
    ('KEY', 'events/call')
    >>> split_address("events/call", {"pbx": "KEY"}), split_address("", {"pbx": "KEY/events/call"})
    (('KEY', 'events/call'), ('KEY', 'events/call'))
    """
    pieces = [piece for piece in path.split("/") if piece]
    in_parameter = [piece for piece in query.get("pbx", "").split("/") if piece]
    if "pbx" in query:
        return (in_parameter[0], "/".join([*pieces, *in_parameter[1:]])) if in_parameter else ("", "")
    return (pieces[0], "/".join(pieces[1:])) if pieces else ("", "")


def key_of(path: str, query_string: str) -> str:
    """The hook key of a request whose head is all that has come. `path`: as PEP 3333 has it, bytes as latin-1."""
    query: dict[str, str] = {}
    if query_string:
        for name, value in parse_qsl(query_string, keep_blank_values=True):
            query.setdefault(name, value)
    return split_address(path.encode("latin-1", "replace").decode("utf-8", "replace"), query)[0]


def refusal_status(key: str, address: str) -> int | None:
    """The status for a sender who is refused whatever the notification says: 403 for a foreign network, 429 for a
    flood; None: go on. Counts the request. Needs an application context."""
    sender = parse_address(address)
    networks = runtime().config.mango_addresses
    if networks and not any(sender in network for network in networks):
        _log.warning("notification from a network that is not in BX24APP_MANGO_ADDRESSES", address=str(sender))
        return 403
    if rate_limit.is_over_limit(key, str(sender)):
        _log.warning("too many notifications", address=str(sender))
        return 429
    return None


@lru_cache(maxsize=1024)
def parse_address(text: str) -> IPv4Address | IPv6Address:
    """The address; a mapped IPv4 address counts as that IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:  # a unix socket, or a proxy that wrote nonsense: an address that no network allows
        return IPv6Address(0)
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
