"""What names a person outside of their own calls: other calls, the directory of employees, settings. Each is taken out without breaking the rest."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.domain import phone
from bx24app.models import Call, Delivery, Portal, PortalUser, SettingsVersion

_NUMBER_PATTERN = re.compile(r"[+\d\s()-]+")
"""A text that is nothing but a telephone."""


def redact_calls(session: Session, portal: Portal, number: str, calls: set[tuple[int, str]]) -> None:
    """Facts and requests of other clients' calls (PBX, entry) no longer name the telephone (E.164)."""
    for pbx_id, entry_id in sorted(calls):
        mine = (Call.portal_id == portal.id, Call.pbx_id == pbx_id, Call.entry_id == entry_id)
        for call in session.scalars(select(Call).where(*mine, Call.client_number.is_distinct_from(number))):
            call.facts = redact_value(call.facts, number)
            over = (Delivery.call_id == call.id, Delivery.state.in_(("done", "dead")))
            for row in session.scalars(select(Delivery).where(*over)):
                row.command, row.answer = redact_value(row.command, number), redact_value(row.answer, number)


def redact_directory(session: Session, portal: Portal, number: str) -> int:
    """Employees with this telephone lose what was read of them; so many. Those whom the portal still has are read again."""
    gone = 0
    for user in session.scalars(select(PortalUser).where(PortalUser.portal_id == portal.id)):
        if any(_has_number(said, number) for said in (*user.phones, user.inner_number, user.name)):
            user.name = user.email = user.inner_number = ""
            user.phones, gone = [], gone + 1
    return gone


def redact_settings(session: Session, portal: Portal, number: str) -> bool:
    """Versions that are history no longer name the telephone. Returns whether the present one does: it is not ours to change."""
    present = False
    for version in session.scalars(select(SettingsVersion).where(SettingsVersion.portal_id == portal.id)):
        document = redact_value(version.document, number)
        if document == version.document:
            continue
        if version.id == portal.settings_version_id:
            present = True
        else:
            version.document = _redact_mobiles(version.document, number)
    return present


def _redact_mobiles(document: dict[str, Any], number: str) -> dict[str, Any]:
    """A document that can still be read, since calls go on under old versions: a mobile leaves its list, else see `without`."""

    def redact_employees(pbx: dict[str, Any]) -> list[dict[str, Any]]:
        return [one | {"numbers": [n for n in one.get("numbers") or [] if not _has_number(n, number)]} for one in pbx.get("employees") or []]

    pbxs = [pbx | {"employees": redact_employees(pbx)} for pbx in document.get("pbxs") or []]
    held: dict[str, Any] = redact_value(document | {"pbxs": pbxs}, number)
    return held


def redact_value(value: Any, number: str) -> Any:
    """The JSON value: zeros for every text that is the telephone (a place that must hold one stays good), a dash for one that names it."""
    if isinstance(value, dict):
        return {key: redact_value(part, number) for key, part in value.items()}
    if isinstance(value, list):
        return [redact_value(part, number) for part in value]
    if isinstance(value, bool) or not isinstance(value, str | int) or not _has_number(str(value), number):
        return value
    if isinstance(value, int):
        return 0
    return "0" * len(phone.digits_only(value)) if _NUMBER_PATTERN.fullmatch(value) else "–"


def _has_number(said: str, number: str) -> bool:
    return phone.digits_only(number) in phone.digits_only(said) or phone.normalise(said) == number
