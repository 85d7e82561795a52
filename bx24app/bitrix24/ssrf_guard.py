"""The SSRF guard: decides to which addresses the program connects, so that nobody can lead it into the network that it
runs in.

The address of a portal or a recording comes from outside in the end (an answer of an authorisation server, a redirect,
a link). Before a connection the host is resolved once and each of its addresses is checked; the connection then goes to
a checked address, so a name that changes its answer in between gains nothing. The tables below decide, not Python's
`is_global`, whose answer differs between patch versions.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError
from urllib3.response import HTTPResponse

from bx24app.bitrix24.errors import NeedsAdmin, NotSent
from bx24app.bitrix24.read_deadline import enforce_deadline
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.bitrix24.resolver import Resolver
from bx24app.domain.host_names import to_ascii_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


# Sources: IANA's registries iana-ipv4-special-registry and iana-ipv6-special-registry.
_LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address to which the gateway connects."""
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""RFC 4291: everything else of IPv6 is local, reserved, multicast (`ff00::/8`) or not assigned. That excludes `::/96`
(IPv4-compatible), `64:ff9b:1::/48` (local NAT64), `100::/64` (discard), `5f00::/16` (SRv6), `fc00::/7` (unique local),
`fe80::/10` (link-local) and `fec0::/10` (site-local)."""
_REFUSED: Final = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private
    "100.64.0.0/10",  # shared by a provider's customers
    "169.254.0.0/16",  # link-local, metadata services of clouds
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # documentation
    "192.88.99.0/24",  # former 6to4 relays
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/4", "240.0.0.0/4",  # multicast; reserved, broadcast
    "2001::/23",  # protocol assignments, Teredo (2001::/32) among them
    "2001:db8::/32", "3fff::/20",  # documentation
)  # fmt: skip


HEAD_SECONDS = 75.0
"""How long the head of an answer may take. A cloud portal ends a request of its own after 60 s."""
HANDSHAKE_SECONDS = 15.0
"""How long a TLS handshake may take, whose bytes may come one by one."""


class NotAdmitted(NeedsAdmin):
    """The program does not connect there. The text names the host and the reason; only the operator may admit a private
    network.
    """

    def __init__(self, text: str) -> None:
        super().__init__("address", text)


class AddressPolicy:
    """Which addresses are admitted: public ones, and those that the configuration names.

    `may_use_loopback` is for demo and tests only; `private_networks` are those in which on-premise portals may live.
    """

    def __init__(self, may_use_loopback: bool = False, private_networks: Iterable[Network] = ()) -> None:
        self.may_use_loopback, self.private_networks = may_use_loopback, tuple(private_networks)
        self._resolver = Resolver()

    def check_url(self, url: str) -> None:
        """Check form and addresses of `url`.

        Raises:
            NotAdmitted: the form is wrong, or an address is not admitted. NotSent: there is no such host.
        """
        self.check_url_form(url)
        parts = urlsplit(url)
        self.resolve_host(str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80))

    def check_url_form(self, url: str) -> None:
        """Check that `url` has https (http only in demo and tests), a host, no credentials and a port of the web.

        Raises:
            NotAdmitted: it has not.
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
        """Resolve a host to its (family, address) pairs, all of which are admitted.

        Raises:
            NotAdmitted: one of its addresses is not admitted. NotSent: there is no such host, or its name server does
                not answer in time.
        """
        try:
            entries = self._resolver.resolve_name(to_ascii_host(host), port)
        except TimeoutError:
            raise NotSent(f"{host}: its name is not resolved in time") from None
        except (OSError, UnicodeError):
            raise NotSent(f"{host}: no such host") from None
        addresses = [(int(family), str(peer[0])) for family, _, _, _, peer in entries]
        for _, address in addresses:
            if not self.is_allowed(address):
                raise NotAdmitted(f"{host}: {address} is not a public address")
        return addresses

    def is_allowed(self, address: str) -> bool:
        """Is this a public address, or one that the configuration admits? IPv4 addresses inside an IPv6 address are
        checked as such.
        """
        ip = ipaddress.ip_address(address.partition("%")[0])
        return all(self._is_ip_allowed(target) for target in _connection_targets(ip))

    def _is_ip_allowed(self, ip: Address) -> bool:
        if _is_in(ip, self.private_networks):
            return True
        if _is_in(ip, _LOOPBACK):
            return self.may_use_loopback
        return (ip.version == 4 or ip in _GLOBAL_UNICAST) and not _is_in(ip, _REFUSED)


class AnyAddress(AddressPolicy):
    """Admits every address: for hosts that the operator names in the configuration."""

    def is_allowed(self, address: str) -> bool:
        return True


def _is_in(ip: Address, networks: Iterable[Network]) -> bool:
    return any(ip in network for network in networks if network.version == ip.version)


def _connection_targets(ip: Address) -> list[Address]:
    """The addresses at which a connection to `ip` may end: itself, or the IPv4 address that it carries (mapped, NAT64),
    or both (6to4).
    """
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    if ip.sixtofour is not None:
        return [ip, ip.sixtofour]
    return [ip]


class _DeadlineConnection(HTTPConnection):
    """A connection that is closed when the head of an answer takes longer than `HEAD_SECONDS`, or than the deadline of
    this thread's requests.

    The answer carries the socket as `peer_socket`, since urllib3 takes it from a connection that will not be kept.
    """

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sock, response = self.sock, None
        try:
            with enforce_deadline(max(0.0, seconds_left(HEAD_SECONDS)), sock):
                response = super().getresponse()
        except TimeoutError:
            if response is not None:  # a head that was cut off
                response.close()
            raise
        response.peer_socket = sock  # type: ignore[attr-defined]
        return response


class GuardedAdapter(HTTPAdapter):
    """An HTTPAdapter whose connections go only to addresses that the policy admits; TLS still proves the host's name.

    A kept-alive connection stays at the address that was checked when it was made. There are no retries and no proxies.
    A deadline of `request_deadline` bounds the whole exchange: name, connection, head and body.

    Args:
        before_send: called before each request; it raises if this thread may not ask anybody now.
    """

    def __init__(
        self, addresses: AddressPolicy, before_send: Callable[[], None] | None = None, **options: Any
    ) -> None:
        self.address_policy, self._before_send = addresses, before_send
        super().__init__(max_retries=0, **options)

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, **options: Any
    ) -> requests.Response:
        if self._before_send is not None:
            self._before_send()
        left = seconds_left(float("inf"))
        if left <= 0:
            raise requests.ConnectTimeout("the time for requests is used up", request=request)
        if left == float("inf"):
            return super().send(request, stream, timeout, **options)
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        cut = (min(connect or left, left), min(read or left, left))
        return _end_at_deadline(super().send(request, stream, cut, **options))

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        addresses = self.address_policy

        class GuardedConnection(_DeadlineConnection, HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _open_socket(self, addresses)

        class GuardedTLSConnection(_DeadlineConnection, HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                sock = _open_socket(self, addresses)
                twin = self.handshake_guard.enter_context(sock.dup())  # TLS takes the socket itself over
                self.handshake_guard.enter_context(enforce_deadline(max(0.0, seconds_left(HANDSHAKE_SECONDS)), twin))
                return sock

            def connect(self) -> None:
                try:
                    with ExitStack() as self.handshake_guard:
                        super().connect()
                except (OSError, SSLError) as error:  # nothing was sent yet: no lost answer
                    raise NewConnectionError(self, f"no secure connection: {error}") from error

        plain_pool = type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": GuardedConnection})
        secure_pool = type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": GuardedTLSConnection})
        self.poolmanager.pool_classes_by_scheme = {"http": plain_pool, "https": secure_pool}


def _open_socket(connection: Any, addresses: AddressPolicy) -> socket.socket:
    """A socket to the first address that answers. The policy's errors pass through urllib3 unchanged."""
    last: OSError | None = None
    for family, address in addresses.resolve_host(connection._dns_host, connection.port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if isinstance(connection.timeout, int | float):
                sock.settimeout(max(0.1, seconds_left(connection.timeout)))
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


def _end_at_deadline(response: requests.Response) -> requests.Response:
    """Shut the answer's connection down at the deadline of this thread, unless it was closed before."""
    guard, close = ExitStack(), response.close
    sock = getattr(response.raw, "peer_socket", None)
    guard.enter_context(enforce_deadline(max(0.0, seconds_left(HEAD_SECONDS)), sock))

    def close_before_deadline() -> None:
        with suppress(TimeoutError):
            guard.close()
        close()

    response.close = close_before_deadline  # type: ignore[method-assign]
    return response
