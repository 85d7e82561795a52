"""The steps of setting up, as the overview shows them until all are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, url_for
from flask_babel import gettext, ngettext

from bx24app.domain import document
from bx24app.domain.crm_dictionaries import DictionaryItem
from bx24app.domain.rules import presets
from bx24app.domain.settings import Settings
from bx24app.models import Pbx
from bx24app.portals import crm_dictionaries, mango_inventory
from bx24app.web.pbxs import employees

MAX_EMPLOYEES = 1000
"""Larger PBXs are matched on their own page: to compare so many people takes longer than an overview may."""


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step: what is done in it, how far it is, where it is done. `sure`: suggestions to accept with one click, by PBX key."""

    name: str
    is_done: bool
    text: str
    detail: str
    url: str
    sure_suggestions: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """The ready-made answers of step 4: the one that holds, the portal's pipelines, rules that are there already."""

    current_preset: str | None
    pipelines: tuple[DictionaryItem, ...]
    rule_count: int
    has_leads: bool


def build_steps(settings: Settings, rows: Mapping[str, Pbx], today: int) -> list[SetupStep]:
    """All steps, in the order in which they are done."""
    first = settings.pbxs[0].key if settings.pbxs else None
    heard = any(row.last_notification_at for row in rows.values())
    return [
        SetupStep("pbx", heard, gettext("Connect a PBX"), _notification_text(settings, heard), _setup_url("pbxs.show_pbx", first, "pbxs.new_form")),
        _lines_step(settings, first),
        _employees_step(settings, rows, first),
        SetupStep(
            "rules",
            g.portal.settings_version_id is not None and settings.portal.default_user_id > 0 and bool(settings.pbxs),
            gettext("Decide what calls create in the CRM"),
            _policy_text(settings),
            url_for("policy.show"),
        ),
        SetupStep(
            "call",
            today > 0,
            gettext("Make a test call"),
            ngettext("%(num)d call today", "%(num)d calls today", today),
            url_for("calls.show"),
        ),
    ]


def load_preset_choice(settings: Settings) -> PresetChoice:
    """What step 4 offers."""
    offered = crm_dictionaries.load(g.portal.id)
    data: dict[str, Any] = document.dump(settings)
    deals = any(rule.name == deal_rule_name() for rule in settings.rules)
    found = tuple(offered.pipelines_of("deal") or ())
    return PresetChoice(presets.current_preset(data["calls"], deals), found, len(settings.rules), g.portal.crm_mode == 1)


def deal_rule_name() -> str:
    """The name of the rule that the preset "deals" adds."""
    return str(gettext("Deal for new clients"))


def _setup_url(endpoint: str, key: str | None, otherwise: str) -> str:
    return url_for(endpoint, key=key) if key else url_for(otherwise)


def _lines_step(settings: Settings, first: str | None) -> SetupStep:
    lines = [line for pbx in settings.pbxs for line in pbx.lines]
    named = sum(1 for line in lines if line.responsible.users)
    return SetupStep(
        "lines",
        bool(lines) and named == len(lines),
        gettext("Say who is responsible for each line"),
        gettext("%(named)d of %(all)d lines", named=named, all=len(lines)),
        _setup_url("lines.show", first, "pbxs.show"),
    )


def _employees_step(settings: Settings, rows: Mapping[str, Pbx], first: str | None) -> SetupStep:
    """n of m: the m as the PBXs told it last; the overview itself asks nobody, so that it is there at once."""
    matched = total = 0
    sure: list[tuple[str, str, int]] = []
    for pbx in settings.pbxs:
        held = mango_inventory.cached_users(rows[pbx.key]) if pbx.key in rows else None
        known = {one.extension for one in pbx.employees}
        seats = {user.extension for user in held.rows if user.extension} if held is not None else set()
        matched, total = matched + len(known), total + len(known | seats)
        small = held is not None and len(held.rows) <= MAX_EMPLOYEES and bool(seats - known)
        count = employees.count_certain_suggestions(pbx, held) if held is not None and small else 0
        if count:
            sure.append((pbx.key, pbx.name or pbx.key, count))
    words = gettext("%(mapped)d of %(total)d extensions are matched.", mapped=matched, total=total)
    url = _setup_url("employees.show", first, "pbxs.show")
    return SetupStep("employees", matched > 0 and not sure, gettext("Match extensions with employees"), words, url, tuple(sure))


def _notification_text(settings: Settings, heard: bool) -> str:
    if not settings.pbxs:
        return str(gettext("Two keys from your Mango Office account"))
    return str(gettext("Notifications arrive") if heard else gettext("Waiting for the first notification"))


def _policy_text(settings: Settings) -> str:
    words = {
        "lead": gettext("lead"),
        "contact": gettext("contact"),
        "activity": gettext("contact and to-do"),
        "nothing": gettext("only the call"),
    }
    said = gettext(
        "New clients, answered: %(answered)s; missed: %(missed)s",
        answered=words[settings.calls.answered],
        missed=words[settings.calls.missed],
    )
    count = len(settings.rules)
    more = ngettext("%(num)d rule before it", "%(num)d rules before it", count) if count else ""
    return f"{said}; {more}" if more else str(said)
