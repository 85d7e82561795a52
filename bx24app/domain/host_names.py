"""Host names: their form on the wire (ASCII, IDNA 2008) and their form for people.

A portal may have a name such as `портал.рф`. DNS, TLS, headers and the Host of a browser use its ASCII form, but an
answer may hold either form. What is compared, stored or put into a header goes through `to_ascii_url` or
`normalise_host` first.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import idna

DEFAULT_PORTS: Final = (None, 80, 443)


def to_ascii_host(host: str) -> str:
    """A host name without a port, in lower case and ASCII.

    Raises:
        ValueError: no host can have this name.
    """
    if host.isascii():
        return host.lower()
    return idna.encode(host, uts46=True).decode("ascii")  # an IDNAError is a ValueError


def to_ascii_netloc(netloc: str) -> str:
    """`host[:port]` with its host in ASCII; as it is where no host can be read."""
    if netloc.isascii() or "@" in netloc:
        return netloc
    try:
        parts = urlsplit(f"//{netloc}")
        return to_ascii_host(parts.hostname or "") + (f":{parts.port}" if parts.port is not None else "")
    except ValueError:
        return netloc


def to_ascii_url(url: str) -> str:
    """The address with its host in ASCII; as it is where no host can be read."""
    if url.isascii():
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(netloc=to_ascii_netloc(parts.netloc)).geturl()


def normalise_host(name: str) -> str:
    """`host[:port]` in ASCII without a default port, which may be written or left out.

    Raises:
        ValueError: the name cannot be read.
    """
    parts = urlsplit(f"//{name.strip()}")
    host = to_ascii_host(parts.hostname or "")
    return host if parts.port in DEFAULT_PORTS else f"{host}:{parts.port}"


def readable_host(name: str) -> str:
    """`host[:port]` as people write it: `xn--80a0ab.xn--p1ai` is `пол.рф`. A name that is no IDNA stays as it is."""
    host, separator, port = name.partition(":")
    if "xn--" not in host:
        return name
    try:
        return idna.decode(host) + separator + port
    except ValueError:
        return name
