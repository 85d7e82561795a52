"""Dismissed employees whom the settings still name, for pages: who they are, and links to the places where another
employee is chosen."""

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
    """One of them, with (text, address) of each place that names the employee."""

    user_id: int
    name: str
    references: list[tuple[str, str]]


def list_dismissed(settings: Settings, pbx: str = "") -> list[DismissedEmployee]:
    """All of them. `pbx`: only places of the PBX with this key."""
    by_user = dismissed_employees.references_by_user(g.portal.id, settings)
    names = directory.by_ids(by_user)
    employees = [
        DismissedEmployee(
            user_id,
            names.name(user_id),
            [_describe_reference(settings, reference) for reference in references if not pbx or reference.pbx == pbx],
        )
        for user_id, references in by_user.items()
    ]
    return [employee for employee in employees if employee.references]


def _describe_reference(settings: Settings, reference: UserReference) -> tuple[str, str]:
    pbx = settings.by_key.get(reference.pbx)
    name = (pbx.name or pbx.key) if pbx is not None else ""
    if reference.kind == "line":
        text = gettext("%(pbx)s, line %(line)s", pbx=name, line=reference.name)
        return text, url_for("lines.show", key=reference.pbx)
    if reference.kind == "employee":
        text = gettext("%(pbx)s, extension %(extension)s", pbx=name, extension=reference.name)
        return text, url_for("employees.show", key=reference.pbx, q=reference.name)
    if reference.kind == "pbx":
        return gettext("%(pbx)s, default responsible", pbx=name), url_for("pbxs.show_pbx", key=reference.pbx)
    if reference.kind == "rule":
        return gettext("rule “%(name)s”", name=reference.name), url_for("policy.show")
    return gettext("portal, default responsible"), url_for("policy.show")
