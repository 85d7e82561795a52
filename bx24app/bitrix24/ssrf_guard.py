"""Which addresses we connect to: no way into the network that we run in (SSRF).

A portal's address comes, in the end, from outside (an auth server's answer, a redirect, a recording link). Before a connection its
host is resolved once and every address checked; the connection then goes to a checked address, so that a name that changes its
answer in between gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError
from urllib3.response import HTTPResponse

from bx24app.bitrix24.errors import NeedsAdmin, NotSent
from bx24app.bitrix24.read_deadline import enforce_deadline

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64_NETWORK: Final = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL_NETWORKS: Final = tuple(
    ipaddress.ip_network(network) for network in ("192.0.0.0/24", "100.64.0.0/10", "192.88.99.0/24", "64:ff9b:1::/48")
)
"""Special-purpose networks (IANA's registries) that not every Python counts as such."""


HEAD_SECONDS = 75.0
"""Until the last line of an answer's head is there. A cloud portal ends a request of its own after 60 s."""


class NotAdmitted(NeedsAdmin):
    """We do not connect there. The text names the host and the reason; it is the operator who may admit a private network."""

    def __init__(self, text: str) -> None:
        super().__init__("address", text)


class AddressPolicy:
    """The wall. `may_use_loopback`: demo and tests only; `private_networks`: networks in which on-premise portals may live."""

    def __init__(self, may_use_loopback: bool = False, private_networks: Iterable[Network] = ()) -> None:
        self.may_use_loopback, self.private_networks = may_use_loopback, tuple(private_networks)

    def check_url(self, url: str) -> None:
        """Check form and addresses of `url`.

        Raises:
            NotAdmitted, NotSent (no such host)
        """
        self.check_url_form(url)
        parts = urlsplit(url)
        self.resolve_host(str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80))

    def check_url_form(self, url: str) -> None:
        """https (http only in demo and tests), a host, no credentials, a port of the web.

        Raises:
            NotAdmitted
        """
        if not url.isprintable() or " " in url or "\\" in url:  # parsers disagree about these
            raise NotAdmitted("the address cannot be read")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise NotAdmitted("the address cannot be read") from None
        if not host or "@" in parts.netloc:
            raise NotAdmitted("an address needs a host and no credentials")
        if parts.scheme != "https" and not (parts.scheme == "http" and self.may_use_loopback):
            raise NotAdmitted(f"{host}: https is required")
        if port is not None and port not in (80, 443) and port < 1024:
            raise NotAdmitted(f"{host}: port {port} is not one of the web")

    def resolve_host(self, host: str, port: int) -> list[tuple[int, str]]:
        """(family, address) of a host, all of them admitted.

        Raises:
            NotAdmitted, NotSent (no such host)
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NotSent(f"{host}: no such host") from None
        addresses = [(int(family), str(where[0])) for family, _, _, _, where in found]
        for _, address in addresses:
            if not self.is_allowed(address):
                raise NotAdmitted(f"{host}: {address} is not a public address")
        return addresses

    def is_allowed(self, address: str) -> bool:
        """Is this a public address, or one that the configuration allows? An IPv4 address inside an IPv6 one counts as itself."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        return all(self._is_ip_allowed(one) for one in _embedded_addresses(ip))

    def _is_ip_allowed(self, ip: Address) -> bool:
        if any(ip in network for network in self.private_networks if network.version == ip.version):
            return True
        if ip.is_loopback:
            return self.may_use_loopback
        if any(ip in network for network in _SPECIAL_NETWORKS if network.version == ip.version):
            return False
        return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _embedded_addresses(ip: Address) -> list[Address]:
    """What a connection to `ip` can end at: itself, or the IPv4 addresses that it carries (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip.sixtofour is not None:
        return [ip, ip.sixtofour]
    if ip.teredo is not None:
        return [ip, *ip.teredo]
    if ip in _NAT64_NETWORK:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    return [ip]


class _DeadlineConnection(HTTPConnection):
    """A connection whose answers begin in time, or not at all."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with enforce_deadline(HEAD_SECONDS, self.sock):
            return super().getresponse()


class GuardedAdapter(HTTPAdapter):
    """An HTTPAdapter whose connections go to addresses that the wall admitted; TLS still proves the host's name.

    Keep-alive connections stay at the address that was checked when they were made. No retries, no proxies.
    """

    def __init__(self, addresses: AddressPolicy, **options: Any) -> None:
        self.address_policy = addresses
        super().__init__(max_retries=0, **options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        addresses = self.address_policy

        class GuardedConnection(_DeadlineConnection, HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _open_socket(self, addresses)

        class GuardedTLSConnection(_DeadlineConnection, HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _open_socket(self, addresses)

            def connect(self) -> None:
                try:
                    super().connect()
                except (ssl.SSLError, SSLError) as error:  # before anything was sent: not a lost answer
                    raise NewConnectionError(self, f"no secure connection: {error}") from error

        plain_pool = type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": GuardedConnection})
        secure_pool = type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": GuardedTLSConnection})
        self.poolmanager.pool_classes_by_scheme = {"http": plain_pool, "https": secure_pool}


def _open_socket(connection: Any, addresses: AddressPolicy) -> socket.socket:
    """The first address that answers. What the wall refuses passes through urllib3 as it is."""
    last: OSError | None = None
    for family, address in addresses.resolve_host(connection._dns_host, connection.port):
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
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, "no connection in time") from last
    raise NewConnectionError(connection, f"no connection: {last}") from last
