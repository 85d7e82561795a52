"""Security headers of every answer.

Inline scripts and styles are never allowed; only a verified portal may show a page in its frame.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import Response, g, request

from bx24app.domain.host_names import to_ascii_netloc, to_ascii_url

_HOST_PATTERN = re.compile(
    r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}(:\d{1,5})?$|^(127\.0\.0\.1|localhost)(:\d{1,5})?$"
)


def parse_origin(client_endpoint: str) -> str:
    """`https://HOST[:port]` of the REST address that the authorisation server gave; empty: no such address. A header
    holds no Cyrillic: HOST is in ASCII.
    """
    parts = urlsplit(to_ascii_url(client_endpoint))
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


def content_security_policy(origin: str) -> str:
    """The Content-Security-Policy of a page that `origin` may frame; empty: nobody may."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "media-src 'self'",
            f"connect-src 'self' {origin}".rstrip(),
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {origin or chr(39) + 'none' + chr(39)}",
        )
    )


_NON_PAGE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For answers that are no page: if a browser shows one as a page all the same, nothing in it runs."""


def allow_framing(client_endpoint: str) -> None:
    """Let this portal show the answer to the current request in its frame."""
    g.frame_origin = parse_origin(client_endpoint)


def allow_posted_domain() -> None:
    """Let the host that the browser names show the error page in its frame: such a page holds no data and no action.

    Whether the application is installed there makes no difference, so strangers cannot find out.
    """
    domain = to_ascii_netloc(request.args.get("DOMAIN", "").lower())
    if _HOST_PATTERN.match(domain):
        scheme = "http" if request.args.get("PROTOCOL") == "0" else "https"
        allow_framing(f"{scheme}://{domain}/")


def add_headers(response: Response) -> Response:
    """Add the headers; runs after every request."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    is_page = response.mimetype == "text/html"
    policy = content_security_policy(g.get("frame_origin", "")) if is_page else _NON_PAGE_POLICY
    headers["Content-Security-Policy"] = policy
    return response
