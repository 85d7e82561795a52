"""The page of the PBX site: one product at a time, with its settings, the buttons that start calls, and what it sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bx24app.sandbox.mango import MangoCloud, snapshot
from bx24app.sandbox.mango.control import add_control_api
from bx24app.sandbox.pages.rendering import add_static, make_environment, render_template

_ICONS = {
    "incoming": "in", "missed": "missed", "menu": "missed", "unavailable": "missed", "outgoing": "out",
    "outgoing-missed": "out", "click": "out", "ordered": "out", "transfer": "arrow", "handset": "arrow",
    "consult": "arrow", "returned": "arrow", "declined": "arrow", "offices": "company",
    "redirected": "company", "internal": "contact", "anonymous": "in",
}  # fmt: skip
_REASONS = {
    1110: "caller gave up", 1111: "no answer", 1120: "hung up", 1121: "busy", 1122: "rejected", 1131: "unavailable",
    1164: "nobody available", 1170: "lost in the menu",
}  # fmt: skip
"""Titles of the reason codes with which a call ends unanswered."""


@dataclass
class ClientNumbers:
    """The client numbers that the page offers, as (number, whose it is), and the portal's address."""

    numbers: list[tuple[str, str]]
    portal_url: str = ""


def add_page(app: web.Application, cloud: MangoCloud, clients: ClientNumbers) -> None:
    """Adds the page, its static files and the control API to the app of the PBX site."""
    env = make_environment()

    async def show_page(request: web.Request) -> web.Response:
        state = snapshot.cloud_state(cloud)
        if not state["pbxs"]:
            return web.Response(text="No PBX yet.")
        chosen = next((pbx for pbx in state["pbxs"] if pbx["key"] == request.query.get("pbx")), state["pbxs"][0])
        for attempt in state["sent"]:
            attempt["state"] = _notification_state(attempt["text"])
        return render_template(
            "pbx.html", env, **{**state, "pbx": chosen}, links={"portal": clients.portal_url}, icons=_ICONS,
            reasons=_REASONS, clients=clients.numbers,
            client=clients.numbers[0][0] if clients.numbers else "79161234567",
        )  # fmt: skip

    app.router.add_get("/", show_page)
    add_static(app)
    add_control_api(cloud, app)


def _notification_state(text: str) -> str:
    """The word that distinguishes notifications with the same path."""
    try:
        body: Any = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    word = body.get("call_state") or body.get("recording_state") or ""
    who = body.get("to", {}).get("extension") or body.get("location", "")
    return f"{word} {who}".strip() if word else ""
