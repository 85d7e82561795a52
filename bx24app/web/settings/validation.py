"""The settings document's own check, with its faults in the words of pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import g
from flask_babel import gettext

from bx24app import settings
from bx24app.bitrix24.errors import PortalError
from bx24app.domain import document, rules
from bx24app.domain.crm_dictionaries import CrmDictionaries, needs_dictionaries
from bx24app.domain.crm_dictionaries import find_faults as dictionaries_faults
from bx24app.domain.document import DocumentError, ParsedDocument
from bx24app.domain.faults import Fault
from bx24app.domain.settings import Rule, Settings
from bx24app.models import db
from bx24app.portals import crm_dictionaries, sync
from bx24app.web.base import directory, rendering
from bx24app.web.settings.fault_messages import describe_fault


@dataclass(frozen=True, slots=True)
class FieldFault:
    """`path`: as in the document, `pbxs[0].lines[1].name`; empty: of no field."""

    path: str
    message: str


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
        faults = [FieldFault(fault.path, describe_fault(fault)) for fault in error.faults]
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
    return [FieldFault(path, describe_fault(Fault("unknown_user"))) for path, user in strangers if user not in known]


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
