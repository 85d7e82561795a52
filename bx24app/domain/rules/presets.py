"""Presets for "what do calls create in the CRM?", for the first minutes after the installation. A preset is plain
settings and a rule."""

from __future__ import annotations

from typing import Any

PRESETS = ("leads", "deals", "log")
"""A lead for new clients (contact and deal in simple CRM); a deal in a pipeline for new clients; only the call
itself."""

_CALL_SETTINGS = {
    "leads": {"answered": "lead", "missed": "lead", "outgoing": "nothing"},
    "deals": {"answered": "contact", "missed": "activity", "outgoing": "nothing"},
    "log": {"answered": "nothing", "missed": "nothing", "outgoing": "nothing"},
}


def apply_preset(data: dict[str, Any], preset: str, category_id: int | None, rule_name: str) -> None:
    """Change a settings document to this preset. Existing rules stay, above the one that is added.

    Args:
        category_id: of the deals' pipeline; None: the default one.
        rule_name: in the administrator's language. An existing rule of this name comes from the same preset and is
            replaced.
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
    data["rules"] = [other for other in data["rules"] if other["name"] != rule_name] + [rule]


def current_preset(calls: dict[str, Any], deals_rule: bool) -> str | None:
    """The preset that these settings match. None: they match none."""
    if deals_rule:
        return "deals" if _matches_preset(calls, "deals") else None
    return next((preset for preset in ("leads", "log") if _matches_preset(calls, preset)), None)


def _matches_preset(calls: dict[str, Any], preset: str) -> bool:
    return all(calls[name] == value for name, value in _CALL_SETTINGS[preset].items())
