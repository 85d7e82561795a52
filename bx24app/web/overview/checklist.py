"""The set-up checklist of the overview: what each step is, whether it is done, and what can be done right there."""

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
"""Larger PBXs are matched on their own page only: comparing more people takes too long for the overview."""


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step: its title, how far it is, where it is done.

    `sure_suggestions`: (PBX key, name, count) to accept with one click.
    """

    name: str
    is_done: bool
    text: str
    detail: str
    url: str
    sure_suggestions: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """The presets of step 4: the current one, the portal's pipelines, how many rules there are already."""

    current_preset: str | None
    pipelines: tuple[DictionaryItem, ...]
    rule_count: int
    has_leads: bool


def build_steps(settings: Settings, rows: Mapping[str, Pbx], today: int) -> list[SetupStep]:
    """All steps in their order. `today`: calls since midnight."""
    first = settings.pbxs[0].key if settings.pbxs else None
    is_notified = any(row.last_notification_at for row in rows.values())
    return [
        SetupStep(
            "pbx",
            is_notified,
            gettext("Connect a PBX"),
            _notification_text(settings, is_notified),
            _setup_url("pbxs.show_pbx", first, "pbxs.new_form"),
        ),
        _lines_step(settings, first),
        _employees_step(settings, rows, first),
        SetupStep(
            "rules",
            g.portal.settings_version_id is not None and settings.portal.default_user_id > 0 and bool(settings.pbxs),
            gettext("Choose what calls create in the CRM"),
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
    """The presets of step 4."""
    dictionaries = crm_dictionaries.load(g.portal.id)
    data: dict[str, Any] = document.dump(settings)
    has_deal_rule = any(rule.name == deal_rule_name() for rule in settings.rules)
    return PresetChoice(
        current_preset=presets.current_preset(data["calls"], has_deal_rule),
        pipelines=tuple(dictionaries.pipelines_of("deal") or ()),
        rule_count=len(settings.rules),
        has_leads=g.portal.crm_mode == 1,
    )


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
        gettext("Choose who is responsible for each line"),
        gettext("%(named)d of %(all)d lines assigned", named=named, all=len(lines)),
        _setup_url("lines.show", first, "pbxs.show"),
    )


def _employees_step(settings: Settings, rows: Mapping[str, Pbx], first: str | None) -> SetupStep:
    """Mapped extensions of all known ones.

    The overview reads what the PBXs answered last and asks none, so that it opens at once.
    """
    matched = total = 0
    suggestions: list[tuple[str, str, int]] = []
    for pbx in settings.pbxs:
        inventory = mango_inventory.cached_users(rows[pbx.key]) if pbx.key in rows else None
        mapped = {employee.extension for employee in pbx.employees}
        known = {user.extension for user in inventory.rows if user.extension} if inventory is not None else set()
        matched, total = matched + len(mapped), total + len(mapped | known)
        count = 0
        if inventory is not None and len(inventory.rows) <= MAX_EMPLOYEES and known - mapped:
            count = employees.count_certain_suggestions(pbx, inventory)
        if count:
            suggestions.append((pbx.key, pbx.name or pbx.key, count))
    text = gettext("%(mapped)d of %(total)d extensions matched", mapped=matched, total=total)
    url = _setup_url("employees.show", first, "pbxs.show")
    is_done = matched > 0 and not suggestions
    title = gettext("Match extensions with employees")
    return SetupStep("employees", is_done, title, text, url, tuple(suggestions))


def _notification_text(settings: Settings, is_notified: bool) -> str:
    if not settings.pbxs:
        return str(gettext("Two keys from your Mango Office account"))
    return str(gettext("Notifications are arriving") if is_notified else gettext("Waiting for the first notification"))


def _policy_text(settings: Settings) -> str:
    names = {
        "lead": gettext("lead"),
        "contact": gettext("contact"),
        "activity": gettext("contact and to-do"),
        "nothing": gettext("only the call"),
    }
    text = gettext(
        "New clients: answered – %(answered)s, missed – %(missed)s",
        answered=names[settings.calls.answered],
        missed=names[settings.calls.missed],
    )
    count = len(settings.rules)
    more = ngettext("%(num)d rule applies first", "%(num)d rules apply first", count) if count else ""
    return f"{text}; {more}" if more else str(text)
