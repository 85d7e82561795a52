"""Which addresses we connect to: no way into the network that we run in (SSRF).

A portal's address comes, in the end, from outside (an auth server's answer, a redirect, a recording link). Before a connection its
host is resolved once and every address checked; the connection then goes to a checked address, so that a name that changes its
answer in between gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SHARED = ipaddress.ip_network("100.64.0.0/10")


class NotAdmitted(Exception):
    """We do not connect there. The text names the host and the reason."""


class Addresses:
    """The wall. `loopback`: demo and tests only; `private`: networks in which on-premise portals may live."""

    def __init__(self, loopback: bool = False, private: Iterable[Network] = ()) -> None:
        self.loopback, self.private = loopback, tuple(private)

    def admit(self, url: str) -> None:
        """Check form and addresses of `url`.

        Raises:
            NotAdmitted
        """
        self.check_form(url)
        parts = urlsplit(url)
        self.resolve(str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80))

    def check_form(self, url: str) -> None:
        """https (http only to loopback, where that is allowed), a host, no credentials."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise NotAdmitted("the address cannot be read") from None
        if not host or parts.username or parts.password:
            raise NotAdmitted("an address needs a host and no credentials")
        if parts.scheme != "https" and not (parts.scheme == "http" and self.loopback):
            raise NotAdmitted(f"{host}: https is required")
        if port is not None and port not in (80, 443) and port < 1024:
            raise NotAdmitted(f"{host}: port {port} is not one of the web")

    def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        """(family, address) of a host, all of them admitted."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise NotAdmitted(f"{host}: no such host") from None
        addresses = [(int(family), str(where[0])) for family, _, _, _, where in found]
        for _, address in addresses:
            if not self.is_admitted(address):
                raise NotAdmitted(f"{host}: {address} is not a public address")
        return addresses

    def is_admitted(self, address: str) -> bool:
        """Is this a public address, or one that the configuration allows?"""
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        if mapped is not None:
            ip = mapped
        if any(ip in network for network in self.private if network.version == ip.version):
            return True
        if ip.is_loopback:
            return self.loopback
        if ip.version == 4 and ip in _SHARED:
            return False
        return ip.is_global and not ip.is_multicast


class GuardedAdapter(HTTPAdapter):
    """An HTTPAdapter whose connections go to addresses that the wall admitted; TLS still proves the host's name."""

    def __init__(self, addresses: Addresses, **options: Any) -> None:
        self.addresses = addresses
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        addresses = self.addresses

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, addresses)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, addresses)

        plain_pool = type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": Plain})
        secure_pool = type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": Secure})
        self.poolmanager.pool_classes_by_scheme = {"http": plain_pool, "https": secure_pool}


def _connect(connection: Any, addresses: Addresses) -> socket.socket:
    try:
        found = addresses.resolve(connection._dns_host, connection.port)
    except NotAdmitted as error:
        raise NewConnectionError(connection, f"not admitted: {error}") from None
    last: OSError | None = None
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if isinstance(connection.timeout, int | float):
                sock.settimeout(connection.timeout)
            for option in connection.socket_options or []:
                sock.setsockopt(*option)
            sock.connect((address, connection.port))
        except OSError as error:
            sock.close()
            last = error
            continue
        return sock
    raise NewConnectionError(connection, f"no connection: {last}") from last
