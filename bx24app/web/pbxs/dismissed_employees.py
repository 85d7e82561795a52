"""Dismissed employees whom the settings still name, for pages: who, where, and the page on which somebody else is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, url_for
from flask_babel import gettext

from bx24app.domain.document.user_references import Naming
from bx24app.domain.settings import Settings
from bx24app.operations.alerts import dismissed_employees
from bx24app.web.base import directory


@dataclass(frozen=True, slots=True)
class Gone:
    """One of them, with (words, address) of each place."""

    user_id: int
    name: str
    places: list[tuple[str, str]]


def shown(settings: Settings, pbx: str = "") -> list[Gone]:
    """All of them; `pbx`: only places of this PBX."""
    found = dismissed_employees.named(g.portal.id, settings)
    names = directory.of(found)
    made = [
        Gone(user_id, names.name(user_id), [_place(settings, one) for one in places if not pbx or one.pbx == pbx])
        for user_id, places in found.items()
    ]
    return [one for one in made if one.places]


def _place(settings: Settings, place: Naming) -> tuple[str, str]:
    pbx = settings.by_key.get(place.pbx)
    name = (pbx.name or pbx.key) if pbx is not None else ""
    if place.kind == "line":
        return gettext("%(pbx)s, line %(line)s", pbx=name, line=place.what), url_for("lines.show", key=place.pbx)
    if place.kind == "employee":
        words = gettext("%(pbx)s, extension %(extension)s", pbx=name, extension=place.what)
        return words, url_for("employees.show", key=place.pbx, q=place.what)
    if place.kind == "pbx":
        return gettext("%(pbx)s, calls of nobody", pbx=name), url_for("pbxs.one", key=place.pbx)
    if place.kind == "rule":
        return gettext("rule “%(name)s”", name=place.what), url_for("policy.show")
    return gettext("calls that map to nobody"), url_for("policy.show")
