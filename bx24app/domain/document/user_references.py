"""Where a settings document names a user of the portal.

A save asks the portal whether each of them exists, the notice about a dismissed employee lists where they are still
named, and the pages of the history load their names. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from bx24app.domain import rules
from bx24app.domain.settings import Settings

ReferenceKind = Literal["portal", "pbx", "line", "employee", "rule"]


@dataclass(frozen=True, slots=True)
class UserReference:
    """One place in the document.

    `kind`: the user is the default responsible of the portal or a PBX, a line's responsible, an extension's employee,
    or named in a rule. `pbx`: key of the PBX; empty for portal and rules. `name`: number of the line, extension, name
    of the rule.
    """

    user_id: int
    kind: ReferenceKind
    pbx: str = ""
    name: str = ""
    path: str = field(default="", compare=False)


def iter_references(settings: Settings) -> Iterator[UserReference]:
    """Every place, in the document's order."""
    yield UserReference(settings.portal.default_user_id, "portal", path="portal.default_user_id")
    for p, pbx in enumerate(settings.pbxs):
        if pbx.default_user_id is not None:
            yield UserReference(pbx.default_user_id, "pbx", pbx.key, path=f"pbxs[{p}].default_user_id")
        for n, line in enumerate(pbx.lines):
            for u, user in enumerate(line.responsible.users):
                yield UserReference(user, "line", pbx.key, line.number, f"pbxs[{p}].lines[{n}].responsible.users[{u}]")
        for e, employee in enumerate(pbx.employees):
            path = f"pbxs[{p}].employees[{e}].user_id"
            yield UserReference(employee.user_id, "employee", pbx.key, employee.extension, path)
    for index, path, user in rules.referenced_users(settings):
        yield UserReference(user, "rule", name=settings.rules[index].name, path=path)


def referenced_users(settings: Settings) -> Iterator[tuple[str, int]]:
    """(path, user id) of every place."""
    return ((reference.path, reference.user_id) for reference in iter_references(settings))


def find_references(settings: Settings, user_ids: Collection[int] | None = None) -> Iterator[UserReference]:
    """The places without repetition: a rule may name a user twice. `user_ids`: only those of these users."""
    references = iter_references(settings)
    yield from dict.fromkeys(ref for ref in references if user_ids is None or ref.user_id in user_ids)
