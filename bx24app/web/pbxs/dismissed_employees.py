"""Dismissed employees whom the settings still name, for pages: who, where, and the page on which somebody else is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, url_for
from flask_babel import gettext

from bx24app.domain.document.user_references import UserReference
from bx24app.domain.settings import Settings
from bx24app.operations.alerts import dismissed_employees
from bx24app.web.base import directory


@dataclass(frozen=True, slots=True)
class DismissedEmployee:
    """One of them, with (words, address) of each place."""

    user_id: int
    name: str
    references: list[tuple[str, str]]


def list_dismissed(settings: Settings, pbx: str = "") -> list[DismissedEmployee]:
    """All of them; `pbx`: only places of this PBX."""
    found = dismissed_employees.references_by_user(g.portal.id, settings)
    names = directory.by_ids(found)
    made = [
        DismissedEmployee(user_id, names.name(user_id), [_describe_reference(settings, one) for one in places if not pbx or one.pbx == pbx])
        for user_id, places in found.items()
    ]
    return [one for one in made if one.references]


def _describe_reference(settings: Settings, place: UserReference) -> tuple[str, str]:
    pbx = settings.by_key.get(place.pbx)
    name = (pbx.name or pbx.key) if pbx is not None else ""
    if place.kind == "line":
        return gettext("%(pbx)s, line %(line)s", pbx=name, line=place.name), url_for("lines.show", key=place.pbx)
    if place.kind == "employee":
        words = gettext("%(pbx)s, extension %(extension)s", pbx=name, extension=place.name)
        return words, url_for("employees.show", key=place.pbx, q=place.name)
    if place.kind == "pbx":
        return gettext("%(pbx)s, calls of nobody", pbx=name), url_for("pbxs.show_pbx", key=place.pbx)
    if place.kind == "rule":
        return gettext("rule “%(name)s”", name=place.name), url_for("policy.show")
    return gettext("calls that map to nobody"), url_for("policy.show")
