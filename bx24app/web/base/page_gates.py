"""Begins and ends a page in its thread (`infra.page_threads`), so that whoever it asks outside it asks inside a gate.

Registered by `init_app` for all routes, the webhooks included, which ask nobody.
"""

from __future__ import annotations

from typing import Final

from flask import request

from bx24app.infra import page_threads
from bx24app.infra.gate_kinds import ACTION, OPENING, TAB, GateKind

PORTAL_KINDS: Final[dict[str | None, GateKind]] = {
    "app_frame": OPENING,
    "oauth": OPENING,
    "bitrix24_events": OPENING,
    "placements": TAB,
    "placement_calls": TAB,
}
"""Blueprint -> the kind of gate for its questions to portals; `ACTION` for the others."""


def begin_page() -> None:
    """Before each request, before its guard."""
    page_threads.begin_page(PORTAL_KINDS.get(request.blueprint, ACTION), request.remote_addr or "")


def end_page(_: BaseException | None) -> None:
    """After each request, whatever became of it."""
    page_threads.end_page()
