"""The settings document's own check, with its faults in the words of pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import g
from flask_babel import gettext, lazy_gettext

from bx24app import portals, settings
from bx24app.bitrix24.errors import PortalError
from bx24app.domain import document
from bx24app.domain.document import DocumentError, Parsed
from bx24app.domain.settings import Settings
from bx24app.models import db
from bx24app.web import pages, people


@dataclass(frozen=True, slots=True)
class Fault:
    """`path`: as in the document, `pbxs[0].lines[1].name`; empty: of no field."""

    path: str
    words: str


_WORDS: tuple[tuple[str, Any], ...] = (
    (r"another PBX has this key", lazy_gettext("Another PBX has this short name.")),
    (r"another employee .* extension", lazy_gettext("This extension stands here twice.")),
    (r"is already a line of PBX (?P<pbx>\S+)", lazy_gettext("This number is already a line of the PBX %(pbx)s.")),
    (r"the portal has no active user", lazy_gettext("There is no such active employee in your Bitrix24.")),
    (r"is a key of up to 20 letters", lazy_gettext("Up to 20 small Latin letters, digits and hyphens.")),
    (r"must be a time such as", lazy_gettext("A time such as 09:00.")),
    (r"the working time ends when it begins", lazy_gettext("The working time ends when it begins.")),
    (r"must name vpbx, events", lazy_gettext("Choose at least one.")),
    (r"is not a time zone", lazy_gettext("There is no such time zone.")),
    (r"is missing|must not be empty", lazy_gettext("Fill this in.")),
    (r"is longer than (?P<most>\d+)", lazy_gettext("At most %(most)s characters.")),
    (r"must be a whole number|must be greater|must be at least", lazy_gettext("A whole number, not negative.")),
    (r"valid date", lazy_gettext("A date such as 2026-01-31.")),
)


def words(message: str) -> str:
    """A fault of the document in the page's language; one that pages cannot cause is shown as the document says it."""
    for pattern, sentence in _WORDS:
        found = re.search(pattern, message)
        if found:
            return str(sentence) % found.groupdict()
    return message


def check(data: dict[str, Any]) -> Parsed | tuple[Fault, ...]:
    """The document as types, or every fault. Employees who are named anew are looked up in the portal."""
    keyed = settings.keyed(g.portal)
    try:
        parsed = document.parse(data, keyed=keyed)
    except DocumentError as error:
        return tuple(Fault(fault.path, words(fault.message)) for fault in error.faults)
    strangers = _strangers(parsed.settings)
    if not strangers:
        return parsed
    try:
        known = _asked()
    except PortalError:
        return (
            Fault(
                "", gettext("Bitrix24 does not answer just now, so the chosen employees cannot be checked. Try again.")
            ),
        )
    faults = [Fault(path, words("the portal has no active user")) for path, user in strangers if user not in known]
    return tuple(faults) or parsed


def _strangers(fresh: Settings) -> list[tuple[str, int]]:
    """(path, user id) of everybody whom only the new document names and the directory does not know as active."""
    before = {user for _, user in document.users(settings.current(g.portal))}
    named = [(path, user) for path, user in document.users(fresh) if user not in before]
    active = {row.user_id for row in people.of(user for _, user in named).active}
    return [(path, user) for path, user in named if user not in active]


def _asked() -> set[int]:
    portal_id = g.portal.id
    db.session.rollback()  # no transaction is held while the portal is asked
    try:
        return portals.fetch_users(portal_id)
    finally:
        pages.look_again()
