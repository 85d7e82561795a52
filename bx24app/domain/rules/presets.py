"""Ready-made answers to "what do calls make in the CRM?", for the first minutes of an installation. Plain settings and rules, nothing of their own."""

from __future__ import annotations

from typing import Any

PRESETS = ("leads", "deals", "log")
"""A lead for new clients (contact and deal where the portal has no leads); a deal in a pipeline for new clients; only the call itself."""

_CALL_SETTINGS = {
    "leads": {"answered": "lead", "missed": "lead", "outgoing": "nothing"},
    "deals": {"answered": "contact", "missed": "activity", "outgoing": "nothing"},
    "log": {"answered": "nothing", "missed": "nothing", "outgoing": "nothing"},
}


def apply_preset(data: dict[str, Any], preset: str, category_id: int | None, rule_name: str) -> None:
    """Change a settings document to this preset. Rules that exist stay, in front of what is added.

    `category_id`: of the deals' pipeline, None: the default one. `rule_name`: in the administrator's language; a rule of this name that is
    there already is this preset, chosen before, and is replaced.
    """
    data["calls"] = {**data["calls"], **_CALL_SETTINGS[preset]}
    if preset != "deals":
        return
    pipeline = {} if category_id is None else {"category_id": category_id}
    rule = {
        "name": rule_name,
        "when": {"direction": "in", "client": "new"},
        "do": [{"create": {"entity": "deal", **pipeline}}],
    }
    data["rules"] = [one for one in data["rules"] if one["name"] != rule_name] + [rule]


def current_preset(calls: dict[str, Any], deals_rule: bool) -> str | None:
    """Which preset the settings are; None: somebody made something of their own."""
    if deals_rule:
        return "deals" if _matches_preset(calls, "deals") else None
    return next((one for one in ("leads", "log") if _matches_preset(calls, one)), None)


def _matches_preset(calls: dict[str, Any], preset: str) -> bool:
    return all(calls[name] == value for name, value in _CALL_SETTINGS[preset].items())
