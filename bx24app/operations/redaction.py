"""Redaction: take a person's telephone out of rows that stay - other clients' calls, the directory, old settings.

`erasure` calls this. Rows keep their form, so that everything that reads them still works.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.domain import phone
from bx24app.models import Call, Delivery, Portal, PortalUser, SettingsVersion

_NUMBER_PATTERN = re.compile(r"[+\d\s()-]+")
"""A text that is nothing but a telephone number."""


def redact_calls(session: Session, portal: Portal, number: str, calls: set[tuple[int, str]]) -> None:
    """Take the number (E.164) out of facts, commands and answers of other clients' calls.

    Args:
        calls: (PBX row id, entry) of the calls.
    """
    for pbx_id, entry_id in sorted(calls):
        in_entry = (Call.portal_id == portal.id, Call.pbx_id == pbx_id, Call.entry_id == entry_id)
        for call in session.scalars(select(Call).where(*in_entry, Call.client_number.is_distinct_from(number))):
            call.facts = redact_value(call.facts, number)
            finished = (Delivery.call_id == call.id, Delivery.state.in_(("done", "dead")))
            for row in session.scalars(select(Delivery).where(*finished)):
                row.command, row.answer = redact_value(row.command, number), redact_value(row.answer, number)


def redact_directory(session: Session, portal: Portal, number: str) -> int:
    """Empty the directory entries that have this number; returns how many.

    The daily sync reads again whom the portal still has.
    """
    count = 0
    for user in session.scalars(select(PortalUser).where(PortalUser.portal_id == portal.id)):
        if any(_has_number(text, number) for text in (*user.phones, user.inner_number, user.name)):
            user.name = user.email = user.inner_number = ""
            user.phones, count = [], count + 1
    return count


def redact_settings(session: Session, portal: Portal, number: str) -> bool:
    """Take the number out of old versions.

    Returns whether the current version has it: only an administrator may change that one.
    """
    is_in_current = False
    for version in session.scalars(select(SettingsVersion).where(SettingsVersion.portal_id == portal.id)):
        document = redact_value(version.document, number)
        if document == version.document:
            continue
        if version.id == portal.settings_version_id:
            is_in_current = True
        else:
            version.document = _redact_mobiles(version.document, number)
    return is_in_current


def _redact_mobiles(document: dict[str, Any], number: str) -> dict[str, Any]:
    """Take the number out of a document that stays valid, since running calls still use old versions.

    A mobile is removed from its list; for everything else see `redact_value`.
    """

    def redact_employees(pbx: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            employee | {"numbers": [text for text in employee.get("numbers") or [] if not _has_number(text, number)]}
            for employee in pbx.get("employees") or []
        ]

    pbxs = [pbx | {"employees": redact_employees(pbx)} for pbx in document.get("pbxs") or []]
    redacted: dict[str, Any] = redact_value(document | {"pbxs": pbxs}, number)
    return redacted


def redact_value(value: Any, number: str) -> Any:
    """The JSON value with zeros for every text that is the number, and a dash for every text that contains it.

    Zeros keep a field valid that must hold a number.
    """
    if isinstance(value, dict):
        return {key: redact_value(part, number) for key, part in value.items()}
    if isinstance(value, list):
        return [redact_value(part, number) for part in value]
    if isinstance(value, bool) or not isinstance(value, str | int) or not _has_number(str(value), number):
        return value
    if isinstance(value, int):
        return 0
    return "0" * len(phone.digits_only(value)) if _NUMBER_PATTERN.fullmatch(value) else "–"


def _has_number(text: str, number: str) -> bool:
    return phone.digits_only(number) in phone.digits_only(text) or phone.normalise(text) == number
