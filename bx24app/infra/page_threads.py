"""What a thread does while it answers a page: whoever it asks outside, it asks inside a gate, for a few seconds.

The web part begins and ends a page in its thread, and `gates` lets the thread through. A thread that answers no page (a
worker's, a command's) passes freely and waits as long as it likes.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

from bx24app.infra.gate_kinds import PAGE_SECONDS, GateKind


@dataclass(slots=True)
class Page:
    """`portal_kind`: the gate for questions to portals; `party`: whose page it is; `until`: by the monotonic clock."""

    portal_kind: GateKind
    party: str
    until: float
    is_inside: bool = False


_page: ContextVar[Page | None] = ContextVar("page", default=None)


def begin_page(portal_kind: GateKind, address: str) -> None:
    """This thread answers a page from now on. Until somebody is proven, it is a page of the sender's address."""
    _page.set(Page(portal_kind, address, time.monotonic() + PAGE_SECONDS))


def end_page() -> None:
    """This thread answers a page no longer."""
    _page.set(None)


def name_party(member_id: str) -> None:
    """The page is one of this portal: its caller is proven."""
    page = _page.get()
    if page is not None:
        page.party = member_id


def current_page() -> Page | None:
    """The page that this thread answers; None: it answers none."""
    return _page.get()


def require_gate() -> None:
    """Called before each request to the outside: a page that asks without a gate is a mistake of ours.

    Raises:
        RuntimeError
    """
    page = _page.get()
    if page is not None and not page.is_inside:
        raise RuntimeError("a page asks somebody outside without a gate (bx24app.infra.gates)")
