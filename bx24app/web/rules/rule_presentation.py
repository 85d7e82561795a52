"""What the templates of the rules page need: names to choose from, sentences, the matrix."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import g
from flask_babel import gettext

from bx24app.domain import phone
from bx24app.domain.crm_dictionaries import Choice, Dictionaries
from bx24app.domain.rules import missed_matrix, sentences
from bx24app.domain.rules.sentences import Names
from bx24app.domain.settings import Settings
from bx24app.portals import crm_dictionaries
from bx24app.web.base import call_counts, directory, rendering, rule_labels
from bx24app.web.base.directory import People
from bx24app.web.base.i18n import language
from bx24app.web.rules import matrix_form, rule_form
from bx24app.web.rules.rule_form import Item

STARTS: dict[str, dict[str, Any]] = {
    "create": {"entity": "lead"},
    "todo": {"deadline_minutes": 30},
    "notify": {"user": "line"},
}
"""Parts that a new action begins with."""


def portal_id() -> int:
    """The portal of this frame."""
    number: int = g.portal.id
    return number


def sentence(item: Item) -> str:
    """A rule in words."""
    return sentences.sentence(item.rule, _names([item], rendering.current(), crm_dictionaries.of(portal_id())), language())


def facts(shown: list[Item]) -> dict[str, Any]:
    """For the page and its parts."""
    settings, offered = rendering.current(), crm_dictionaries.of(portal_id())
    names = _names(shown, settings, offered)
    for item in shown:
        item.words = sentences.sentence(item.rule, names, language())
        item.label = rule_labels.label(str(item.rule.get("name") or ""))
    rules = [item.rule for item in shown]
    read_at: datetime | None = crm_dictionaries.read_at(portal_id())
    return {
        "items": shown,
        "settings": settings,
        "lines": [line for pbx in settings.pbxs for line in pbx.lines],
        "offered": offered,
        "targets": targets(offered),
        "people": _people(shown),
        "matrix": missed_matrix.from_rules(rules).cells,
        "by_hand": missed_matrix.by_hand(rules),
        "places": missed_matrix.PLACES,
        "prefix": matrix_form.prefix,
        "target": rule_form.target,
        "leads": g.portal.crm_mode != 2,
        "read_at": read_at,
        "presence": "timeman" in g.portal.scopes.split(","),
        "same_line": _same_line,
        "used": call_counts.calls_by_rule(),
    }


def targets(offered: Dictionaries) -> list[tuple[str, str]]:
    """(value, words) of everything that a rule can create: with its pipeline, where there are several."""
    found = [("lead", gettext("Lead")), ("contact", gettext("Contact"))]
    found += _pipelines("deal", gettext("Deal"), offered.pipelines("deal"))
    for kind in offered.types or ():
        found += _pipelines(kind.id, kind.name, offered.pipelines(kind.id))
    return found


def _pipelines(entity: str, name: str, pipelines: tuple[Choice, ...] | None) -> list[tuple[str, str]]:
    rest = [(f"{entity}:{one.id}", f"{name}: {one.name}") for one in pipelines or ()]
    return [(entity, gettext("%(name)s: default pipeline", name=name) if rest else name), *rest]


def _names(shown: list[Item], settings: Settings, offered: Dictionaries) -> Names:
    return names_of(settings, offered, _people(shown))


def drop_strange_stages(do: list[dict[str, Any]]) -> None:
    """After another pipeline was chosen: a stage that it does not have goes, so that the first one holds."""
    offered = crm_dictionaries.of(portal_id())
    for action in do:
        parts = action.get("create")
        if isinstance(parts, dict) and "stage_id" in parts:
            category = parts.get("category_id")
            stages = offered.stages(parts.get("entity", ""), category if isinstance(category, int) else None)
            if stages is not None and str(parts["stage_id"]) not in {one.id for one in stages}:
                del parts["stage_id"]


def names_of(settings: Settings, offered: Dictionaries, known: People) -> Names:
    """How sentences call lines, PBXs, people and the portal's things."""
    lines = [line for pbx in settings.pbxs for line in pbx.lines]

    def line(number: str) -> str:
        found = next(
            (one for one in lines if _same_line(one.number, number) or _same_line(one.bitrix_number, number)), None
        )
        return (found.name or found.number) if found is not None else number

    def pbx(key: str) -> str:
        found = settings.by_key.get(key)
        return (found.name or key) if found is not None else key

    return Names(user=known.name, line=line, pbx=pbx, offered=offered)


def _same_line(number: str, other: str) -> bool:
    return (phone.digits(number) or number) == (phone.digits(other) or other)


def _people(shown: list[Item]) -> People:
    wanted = set()
    for item in shown:
        for _, _, parts in item.actions:
            for key in ("responsible", "user"):
                if isinstance(parts.get(key), int):
                    wanted.add(int(parts[key]))
    return directory.of(wanted)
