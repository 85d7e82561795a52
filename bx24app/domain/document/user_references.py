"""Where a settings document names an employee of the portal: for telling what a dismissal leaves open. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from bx24app.domain import document
from bx24app.domain.settings import Settings

ReferenceKind = Literal["portal", "pbx", "line", "employee", "rule"]
_PBX_PATH = re.compile(r"^pbxs\[(\d+)\]\.(?:(lines|employees)\[(\d+)\])?")
_RULE_PATH = re.compile(r"^rules\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class UserReference:
    """`kind`: answers for the whole portal, for a PBX, for a line, is an extension's employee, stands in a rule.

    `pbx`: key of the PBX, empty for portal and rules; `what`: number of the line, extension, name of the rule.
    """

    user_id: int
    kind: ReferenceKind
    pbx: str = ""
    name: str = ""


def find_references(settings: Settings, of: Collection[int] | None = None) -> Iterator[UserReference]:
    """Every place in the document's order; `of`: only of these users."""
    seen: set[UserReference] = set()
    for path, user_id in document.referenced_users(settings):
        if of is not None and user_id not in of:
            continue
        found = _reference_at(settings, path, user_id)
        if found not in seen:  # a rule may name somebody twice
            seen.add(found)
            yield found


def _reference_at(settings: Settings, path: str, user_id: int) -> UserReference:
    rule = _RULE_PATH.match(path)
    if rule is not None:
        return UserReference(user_id, "rule", name=settings.rules[int(rule.group(1))].name)
    found = _PBX_PATH.match(path)
    if found is None:
        return UserReference(user_id, "portal")
    pbx = settings.pbxs[int(found.group(1))]
    if found.group(2) == "lines":
        return UserReference(user_id, "line", pbx.key, pbx.lines[int(found.group(3))].number)
    if found.group(2) == "employees":
        return UserReference(user_id, "employee", pbx.key, pbx.employees[int(found.group(3))].extension)
    return UserReference(user_id, "pbx", pbx.key)
