"""Does the proxy in front of the public address keep unfinished requests to itself? The doctor asks.

One socket sends the head of a notification to a hook address that nobody has, and one byte of its body. The program
refuses an unknown hook key as soon as it has the head: an answer at once shows that the proxy does not wait for the
body. Silence shows that it does; then it should end such a request within a reasonable time.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CONNECT_SECONDS: Final = 5.0
AT_ONCE_SECONDS: Final = 3.0
END_SECONDS: Final = 20.0
"""How long the check waits for the end of its request."""
_HEAD = (
    "POST {path}/mango/{key}/ping HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bx24app-doctor\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nConnection: close\r\n\r\nj"
)


def check_proxy(url: str, ca_bundle: Path | None) -> tuple[bool, str]:
    """Is what stands at `url` in order, and what to say about it?

    Raises:
        OSError: it cannot be reached.
    """
    seconds = measure_unfinished_request(url, ca_bundle)
    if seconds is None:
        return True, (
            f"the proxy keeps unfinished requests to itself, for more than {END_SECONDS:.0f} s each: let it end them "
            "sooner (nginx: client_body_timeout 10s; Caddy: read_body 10s)"
        )
    if seconds > AT_ONCE_SECONDS:
        return True, f"the proxy keeps unfinished requests to itself and ended ours after {seconds:.0f} s"
    is_direct = urlsplit(url).scheme != "https"
    if is_direct:
        return True, "no proxy keeps unfinished requests back; the app ends them by itself"
    return False, (
        "the proxy passes unfinished requests on, so that strangers can take up its connections to the app: let it "
        "buffer requests (nginx: proxy_request_buffering on; Caddy: request_buffers 4MiB; see deploy/)"
    )


def measure_unfinished_request(url: str, ca_bundle: Path | None) -> float | None:
    """Seconds until an unfinished request to `url` is answered or its connection is closed; None: neither happened.

    Raises:
        OSError: no connection.
    """
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    head = _HEAD.format(path=parts.path.rstrip("/"), key=f"doctor-{secrets.token_hex(8)}", host=parts.netloc)
    with ExitStack() as stack:
        address = (host, parts.port or (443 if is_secure else 80))
        peer = stack.enter_context(socket.create_connection(address, CONNECT_SECONDS))
        if is_secure:
            peer = stack.enter_context(_secure(peer, host, ca_bundle))
        peer.sendall(head.encode())
        started = time.monotonic()
        peer.settimeout(END_SECONDS)
        try:
            peer.recv(1)
        except TimeoutError:
            return None
        except OSError:
            pass  # a reset ends the request, too
        return time.monotonic() - started


def _secure(plain: socket.socket, host: str, ca_bundle: Path | None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(plain, server_hostname=host)
