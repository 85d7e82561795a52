"""What the templates of the rules page need: fields, names to choose from, sentences, the matrix."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import g
from flask_babel import gettext

from bx24app.domain.crm_dictionaries import CrmDictionaries, DictionaryItem
from bx24app.domain.rules import missed_matrix, sentences
from bx24app.domain.rules.sentences import DisplayNames
from bx24app.domain.scopes import parse_scopes
from bx24app.domain.settings import Settings
from bx24app.portals import crm_dictionaries
from bx24app.web.base import call_counts, directory, rendering, rule_labels
from bx24app.web.base.directory import EmployeeDirectory
from bx24app.web.base.i18n import current_language
from bx24app.web.rules import condition_fields, matrix_form, rule_form
from bx24app.web.rules.condition_fields import is_same_line
from bx24app.web.rules.rule_form import RuleItem

ACTION_DEFAULTS: dict[str, dict[str, Any]] = {
    "create": {"entity": "lead"},
    "todo": {"deadline_minutes": 30},
    "notify": {"user": "line"},
}
"""Parts that a new action begins with."""


def portal_id() -> int:
    """The portal of this frame."""
    number: int = g.portal.id
    return number


def describe_rule(item: RuleItem) -> str:
    """A rule in words."""
    names = _load_names([item], rendering.load_settings(), crm_dictionaries.load(portal_id()))
    return sentences.describe_rule(item.rule, names, current_language())


def template_context(items: list[RuleItem]) -> dict[str, Any]:
    """The values for the page and its parts."""
    settings, offered = rendering.load_settings(), crm_dictionaries.load(portal_id())
    names = _load_names(items, settings, offered)
    for item in items:
        item.sentence = sentences.describe_rule(item.rule, names, current_language())
        item.label = rule_labels.rule_label(str(item.rule.get("name") or ""))
    rules = [item.rule for item in items]
    read_at: datetime | None = crm_dictionaries.last_read_at(portal_id())
    return {
        "items": items,
        "settings": settings,
        "condition_fields": lambda item: condition_fields.list_fields(item, settings),
        "offered": offered,
        "targets": list_targets(offered),
        "people": _load_people(items),
        "matrix": missed_matrix.from_rules(rules).cells,
        "by_hand": missed_matrix.customised_cells(rules),
        "places": missed_matrix.CELL_KEYS,
        "prefix": matrix_form.cell_prefix,
        "target": rule_form.format_target,
        "has_leads": g.portal.crm_mode != 2,
        "read_at": read_at,
        "sees_working_days": "timeman" in parse_scopes(g.portal.scopes),
        "usage": call_counts.count_calls_by_rule(),
    }


def list_targets(offered: CrmDictionaries) -> list[tuple[str, str]]:
    """(value, words) of everything that a rule can create; what has several pipelines is listed for each."""
    targets = [("lead", gettext("Lead")), ("contact", gettext("Contact"))]
    targets += _pipeline_targets("deal", gettext("Deal"), offered.pipelines_of("deal"))
    for kind in offered.smart_processes or ():
        targets += _pipeline_targets(kind.id, kind.name, offered.pipelines_of(kind.id))
    return targets


def _pipeline_targets(entity: str, name: str, pipelines: tuple[DictionaryItem, ...] | None) -> list[tuple[str, str]]:
    named = [(f"{entity}:{pipeline.id}", f"{name}: {pipeline.name}") for pipeline in pipelines or ()]
    return [(entity, gettext("%(name)s: default pipeline", name=name) if named else name), *named]


def _load_names(items: list[RuleItem], settings: Settings, offered: CrmDictionaries) -> DisplayNames:
    return build_names(settings, offered, _load_people(items))


def drop_unknown_stages(do: list[dict[str, Any]]) -> None:
    """Drop stages that the chosen pipeline does not have, so that its first stage is used."""
    offered = crm_dictionaries.load(portal_id())
    for action in do:
        parts = action.get("create")
        if isinstance(parts, dict) and "stage_id" in parts:
            category = parts.get("category_id")
            stages = offered.stages_of(parts.get("entity", ""), category if isinstance(category, int) else None)
            if stages is not None and str(parts["stage_id"]) not in {stage.id for stage in stages}:
                del parts["stage_id"]


def build_names(settings: Settings, offered: CrmDictionaries, known: EmployeeDirectory) -> DisplayNames:
    """The names of lines, PBXs, employees and the portal's dictionaries for sentences."""
    lines = [line for pbx in settings.pbxs for line in pbx.lines]

    def line_name(number: str) -> str:
        same = (line for line in lines if is_same_line(line.number, number) or is_same_line(line.bitrix_number, number))
        line = next(same, None)
        return (line.name or line.number) if line is not None else number

    def pbx_name(key: str) -> str:
        pbx = settings.by_key.get(key)
        return (pbx.name or key) if pbx is not None else key

    return DisplayNames(user=known.name, line=line_name, pbx=pbx_name, dictionaries=offered)


def _load_people(items: list[RuleItem]) -> EmployeeDirectory:
    users = set()
    for item in items:
        for _, _, parts in item.actions:
            users |= {int(parts[key]) for key in ("responsible", "user") if isinstance(parts.get(key), int)}
    return directory.by_ids(users)
