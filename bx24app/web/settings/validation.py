"""The settings document's own check, with its faults in the words of pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import g
from flask_babel import gettext, lazy_gettext

from bx24app import settings
from bx24app.bitrix24.errors import PortalError
from bx24app.domain import document, rules
from bx24app.domain.crm_dictionaries import CrmDictionaries, needs_dictionaries
from bx24app.domain.crm_dictionaries import find_faults as dictionaries_faults
from bx24app.domain.document import DocumentError, ParsedDocument
from bx24app.domain.settings import Rule, Settings
from bx24app.models import db
from bx24app.portals import crm_dictionaries, sync
from bx24app.web.base import directory, rendering


@dataclass(frozen=True, slots=True)
class FieldFault:
    """`path`: as in the document, `pbxs[0].lines[1].name`; empty: of no field."""

    path: str
    message: str


_TRANSLATIONS: tuple[tuple[str, Any], ...] = (
    (r"another rule has this name", lazy_gettext("Another rule has this name.")),
    (r"the portal has no pipeline", lazy_gettext("Bitrix24 has no such pipeline any more. Choose another one.")),
    (r"the pipeline has no stage", lazy_gettext("This pipeline has no such stage. Choose another one.")),
    (r"the portal has no source", lazy_gettext("Bitrix24 has no such source any more. Choose another one.")),
    (r"the portal has no smart process", lazy_gettext("Bitrix24 has no such smart process any more.")),
    (r"there is no PBX", lazy_gettext("There is no such PBX.")),
    (r"there is no line", lazy_gettext("There is no such line.")),
    (r"must name at least one action", lazy_gettext("Add at least one action.")),
    (r"`nothing` must stand alone", lazy_gettext("“Nothing” stands alone: remove it, or the other actions.")),
    (r"must be the beginning of a number", lazy_gettext("The beginning of a number, such as +7495.")),
    (r"must be a whole number above 0", lazy_gettext("A whole number above 0.")),
    (r"but no blocks", lazy_gettext("Expressions such as {{ client.number }} are possible here, blocks are not.")),
    (
        r"(?P<name>\S+) is not (?:a )?known(?: name)?; known are (?P<known>[^;]*)",
        lazy_gettext("%(name)s is not known here. Known are: %(known)s."),
    ),
    (r"cannot be read: (?P<why>[^;]*)", lazy_gettext("This text cannot be read: %(why)s.")),
    (r"must be line, answered, owner, or a user id", lazy_gettext("Choose an employee.")),
    (r"another PBX has this key", lazy_gettext("Another PBX has this short name.")),
    (r"another employee .* extension", lazy_gettext("This extension stands here twice.")),
    (r"is already a line of PBX (?P<pbx>\S+)", lazy_gettext("This number is already a line of the PBX %(pbx)s.")),
    (r"the portal has no active user", lazy_gettext("There is no such active employee in your Bitrix24.")),
    (r"is a key of up to 20 letters", lazy_gettext("Up to 20 small Latin letters, digits and hyphens.")),
    (r"must be a time such as", lazy_gettext("A time such as 09:00.")),
    (r"the working time ends when it begins", lazy_gettext("The working time ends when it begins.")),
    (r"must name vpbx, events", lazy_gettext("Choose at least one.")),
    (r"is not a telephone", lazy_gettext("A telephone such as +79160000101; several are parted by commas.")),
    (r"is not a time zone", lazy_gettext("There is no such time zone.")),
    (r"is missing|must not be empty|must be a text", lazy_gettext("Fill this in.")),
    (r"is longer than (?P<most>\d+)", lazy_gettext("At most %(most)s characters.")),
    (r"must be a whole number|must be greater|must be at least", lazy_gettext("A whole number, not negative.")),
    (r"valid date", lazy_gettext("A date such as 2026-01-31.")),
)


def translate_fault(message: str) -> str:
    """A fault of the document in the page's language; one that pages cannot cause is shown as the document says it."""
    for pattern, sentence in _TRANSLATIONS:
        found = re.search(pattern, message)
        if found:
            return str(sentence) % found.groupdict()
    return message


def check_document(data: dict[str, Any]) -> ParsedDocument | tuple[FieldFault, ...]:
    """The document as types, or every fault.

    Employees who are named anew are looked up in the portal; where the rules change, everything that they name is.
    """
    keyed = settings.pbxs_with_keys(g.portal)
    fresh_rules = data["rules"] != document.dump(settings.current(g.portal))["rules"]
    offered = _offered_dictionaries(data["rules"]) if fresh_rules else None
    parsed, faults = None, []
    try:
        parsed = document.parse(data, settings.current(g.portal), keyed=keyed, offered=offered)
    except DocumentError as error:
        faults = [FieldFault(fault.path, translate_fault(fault.message)) for fault in error.faults]
    named = dict(document.referenced_users(parsed.settings) if parsed is not None else ()) | _rule_users(data["rules"])
    faults += _unknown_user_faults([(path, user) for path, user in named.items() if fresh_rules or not path.startswith("rules")])
    return tuple(faults) if faults or parsed is None else parsed


def _rule_users(written: list[Any]) -> dict[str, int]:
    """path -> user of everybody whom the rules name, also where the document as a whole has faults."""
    return dict(rules.referenced_users(_rules_only(written)))


def _rules_only(written: list[Any]) -> Settings:
    """A document of nothing but rules as they were typed, faulty or not; each action at its place."""
    listed = [rule.get("do") if isinstance(rule, dict) else None for rule in written]
    do = [
        tuple(one if isinstance(one, dict) else {} for one in each) if isinstance(each, list) else () for each in listed
    ]
    return Settings.model_construct(rules=tuple(Rule.model_construct(do=each) for each in do))


def _offered_dictionaries(written: list[Any]) -> CrmDictionaries | None:
    """What the portal offers; asked anew where what is kept says that a rule is wrong."""
    if not needs_dictionaries(written):
        return None
    kept = crm_dictionaries.load(g.portal.id)
    if kept.has_content and not any(dictionaries_faults(_rules_only(written), kept)):
        return kept
    portal_id = g.portal.id
    db.session.rollback()  # no transaction is held while the portal is asked
    try:
        return crm_dictionaries.fetch(portal_id)
    except PortalError:
        return kept
    finally:
        db.session.rollback()
        rendering.reload_portal()


def _unknown_user_faults(named: list[tuple[str, int]]) -> list[FieldFault]:
    """Faults of those whom only the new document names, or its rules, and whom the portal does not know as active."""
    strangers = _unknown_users(named)
    if not strangers:
        return []
    try:
        known = _fetch_users()
    except PortalError:
        return [
            FieldFault(
                "", gettext("Bitrix24 does not answer just now, so the chosen employees cannot be checked. Try again.")
            )
        ]
    return [FieldFault(path, translate_fault("the portal has no active user")) for path, user in strangers if user not in known]


def _unknown_users(named: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """(path, user id) of those who are new in the document, or stand in its rules, and are not active in the directory."""
    before = {user for _, user in document.referenced_users(settings.current(g.portal))}
    asked = [(path, user) for path, user in named if user not in before or path.startswith("rules")]
    active = {row.user_id for row in directory.by_ids(user for _, user in asked).active_employees}
    return [(path, user) for path, user in asked if user not in active]


def _fetch_users() -> set[int]:
    portal_id = g.portal.id
    db.session.rollback()  # no transaction is held while the portal is asked
    try:
        return sync.fetch_users(portal_id)
    finally:
        rendering.reload_portal()
