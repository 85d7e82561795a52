"""Headers of every answer. No inline script or style is ever allowed, and only the verified portal may show us in a frame."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, g


def parse_origin(client_endpoint: str) -> str:
    """`https://HOST[:port]` of a REST base that the auth server named."""
    parts = urlsplit(client_endpoint)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


def content_security_policy(origin: str) -> str:
    """The Content-Security-Policy of a page that `origin` may show; empty: nobody may."""
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
"""Of what is no page: should a browser show it as one all the same, nothing in it runs."""


def allow_framing(client_endpoint: str) -> None:
    """Let this verified portal show the present answer in its frame."""
    g.frame_origin = parse_origin(client_endpoint)


def add_headers(response: Response) -> Response:
    """After every request."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    page = response.mimetype == "text/html"
    headers["Content-Security-Policy"] = content_security_policy(g.get("frame_origin", "")) if page else _NON_PAGE_POLICY
    return response
