"""What the application decides about a request from its head alone, before a byte of the body is read.

The server asks an `Admission`; `bx24app.web.webhooks.admission` is the one of the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

HOOKS, PAGES, HEALTH = "hooks", "pages", "health"
"""The groups of requests; each has threads, a queue and bounds of its own."""
ADMITTED = "bx24app.admitted"
"""Key in the WSGI environment: the request was judged, so the application need not count it again."""
ADMISSION = "bx24app.admission"
"""Under this name a Flask application keeps its `Admission` among its extensions."""
RETRY_AFTER_SECONDS = 10
SMALL_BODY_BYTES, LARGE_BODY_BYTES = 64 * 1024, 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request line and headers. `path`: percent-decoded, bytes as latin-1 (PEP 3333); `peer`: who connected."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    """Names in lower case."""
    peer: str

    def header(self, name: str) -> str:
        """The header's values, joined by a comma; empty: there is none."""
        return ",".join(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a request is served. `address`: whose share of unfinished bodies it takes."""

    group: str
    address: str
    max_bytes: int
    must_judge: bool = False
    """`judge` must agree before the body is read."""


class Admission(Protocol):
    """Called by the server. `choose_terms` and `judge_at_once` run in the event loop and must not wait."""

    def choose_terms(self, head: RequestHead) -> Terms | int:
        """The terms, or the status with which it is refused."""

    def judge_at_once(self, head: RequestHead, terms: Terms) -> bool:
        """Is it known to be welcome, without asking anybody? False: ask `judge`."""

    def judge(self, head: RequestHead, terms: Terms) -> int | None:
        """The status with which it is refused; None: go on. Runs in a thread and may wait."""


def admission_of(application: object) -> Admission:
    """The application's own decisions; one that has none is admitted to everything."""
    own: Admission | None = getattr(application, "extensions", {}).get(ADMISSION)
    return own or AdmitAll()


class AdmitAll:
    """No application's rules: everything is a page."""

    def choose_terms(self, head: RequestHead) -> Terms | int:
        return Terms(PAGES, head.peer, LARGE_BODY_BYTES)

    def judge_at_once(self, head: RequestHead, terms: Terms) -> bool:
        return True

    def judge(self, head: RequestHead, terms: Terms) -> int | None:
        return None
