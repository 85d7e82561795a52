"""Installing: store the grant, bind events and placements in the portal, read what calls depend on.

Openings of the frame, events and the OAuth callback call this; the daily sync repeats `bind_and_read`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, Bitrix24Client, RestResult
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Grant, Portal, audit, db, utcnow
from bx24app.models.inserts import insert_or_ignore
from bx24app.models.intents import RING_AFTER
from bx24app.portals import clients, intents, placements
from bx24app.portals.clients import client_by_id
from bx24app.portals.lifecycle import mark_needs_admin

_log = get_logger(__name__)

EVENTS = ("ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")
RETRY_AFTER = timedelta(seconds=60)
"""A portal that could not be set up is synchronised again after this."""


def ensure_portal(member_id: str) -> Portal:
    """The portal's row, locked; created if there is none, and only once if two openings come at the same time."""
    blank = {"domain": "", "client_endpoint": "", "server_endpoint": "", "client_id": ""}
    insert_or_ignore(db.session, Portal, member_id=member_id, **blank)
    return db.session.scalars(select(Portal).where(Portal.member_id == member_id).with_for_update()).one()


def store_installation(portal: Portal, post: FramePost, info: AppInfo, server: str, what: str = "installed") -> Portal:
    """Store a verified administrator's opening as the installation.

    `what` goes to the audit log. The caller commits.
    """
    update_installation(portal, info, server, post.application_token, finished=info.is_installed)
    portal.lang = post.lang
    portal.scopes = post.scope or info.scope
    store_grant(portal, info.user_id, post.access_token, post.refresh_token, post.expires_in)
    audit.record(portal.id, info.user_id, "frame", what)
    _log.info(what, portal=portal.id, domain=info.domain)
    return portal


def update_installation(portal: Portal, info: AppInfo, server: str, application_token: str, *, finished: bool) -> None:
    """Store what the authorisation server confirmed.

    `finished`: the portal counts the app as installed, so it sends events.
    """
    is_return = portal.state == "removed" or not portal.client_id
    is_new_client = portal.client_id != info.client_id
    portal.domain, portal.client_endpoint, portal.server_endpoint = info.domain, info.client_endpoint, server
    portal.client_id, portal.scopes = info.client_id, info.scope or portal.scopes
    if application_token or is_new_client:
        portal.application_token = application_token or None
    if is_return or portal.state in ("pending", "active"):
        portal.state = "active" if finished else "pending"
        portal.state_before = None
    portal.removed_at = portal.purge_at = None
    if is_return:
        portal.installed_at, portal.installed_by = utcnow(), info.user_id
    db.session.flush()
    intents.ask(portal.id, "look")


def store_grant(portal: Portal, user_id: int, access: str, refresh: str, expires_in: int) -> None:
    """Make these tokens the background identity; deliveries that a dead grant had stopped resume.

    The caller commits.
    """
    now = utcnow()
    row = db.session.get(Grant, portal.id) or Grant(portal_id=portal.id, generation=0)
    row.user_id, row.access_token, row.refresh_token = user_id, access, refresh
    row.expires_at, row.refreshed_at, row.generation = now + timedelta(seconds=expires_in), now, row.generation + 1
    db.session.add(row)
    portal.answered_at = now
    if portal.state == "needs_admin":
        portal.state, portal.state_before = portal.state_before or "active", None
        portal.trouble = portal.trouble_at = portal.probe_at = None


def set_up_portal(portal_id: int) -> None:
    """Bind events and read what calls depend on, now; a job reads the users.

    Idempotent; a job repeats it after an error.
    """
    client = client_by_id(portal_id)
    try:
        answers = bind_and_read(client)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
        return
    except errors.PortalError as error:
        _log.warning("portal not set up yet", portal=portal_id, error=str(error))
        intents.ask(portal_id, "look", delay=RETRY_AFTER - RING_AFTER)
        db.session.commit()
        return
    store_portal_info(db.session.get_one(Portal, portal_id), answers)
    db.session.commit()
    intents.ring(portal_id, "look")


def bind_and_read(
    client: Bitrix24Client, priority: Priority = Priority.CARD
) -> dict[str, RestResult | errors.PortalError]:
    """Read what the portal is and bind our events and placements: one request, and a second if bindings have to change.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked. A binding that it refuses is only logged.
    """
    questions = (
        ("bound", "event.get"),
        ("mode", "crm.settings.mode.get"),
        ("app", "app.info"),
        ("placed", "placement.get"),
    )
    answers = client.batch([(key, method, {}) for key, method in questions], priority=priority)
    changes = _binding_changes(answers["bound"], f"{runtime().config.public_url}/bitrix24/events")
    changes += placements.binding_commands(
        answers.get("placed"), runtime().config.public_url, MAX_BATCH_SIZE - len(changes)
    )
    if changes:
        _check_bindings(client.batch(changes, priority=priority))
    return answers


def _binding_changes(bound: RestResult | errors.PortalError, handler: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Commands that bind our events, and unbind them from an address that is no longer ours."""
    if isinstance(bound, errors.Refused):
        _log.warning("event bindings refused", reason=str(bound))  # calls work without clicks
        return []
    if not isinstance(bound, RestResult):
        raise bound
    rows = [row for row in bound.result or [] if isinstance(row, dict)]
    pairs = {(str(row.get("event", "")).upper(), str(row.get("handler") or "")) for row in rows}
    changes = [
        (f"b{index}", "event.bind", {"EVENT": event, "HANDLER": handler})
        for index, event in enumerate(EVENTS)
        if (event, handler) not in pairs
    ]
    outdated = sorted(pair for pair in pairs if pair[0] in EVENTS and pair[1] not in ("", handler))
    return changes + [
        (f"u{index}", "event.unbind", {"EVENT": event, "HANDLER": address})
        for index, (event, address) in enumerate(outdated[: MAX_BATCH_SIZE - len(changes)])
    ]


def _check_bindings(answers: dict[str, RestResult | errors.PortalError]) -> None:
    for key, answer in answers.items():
        if isinstance(answer, errors.Refused):
            if "already bind" not in answer.description.lower():  # "Handler already binded": another process was faster
                _log.warning("event or placement not bound", what=key, code=answer.code, reason=answer.description)
        elif isinstance(answer, errors.PortalError):
            raise answer


def _scopes_of(value: object) -> str:
    """`SCOPE` of app.info: a list; a text in older portals."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "")


def licence_of(app: dict[str, object]) -> str:
    """LICENSE and LICENSE_FAMILY as `Portal.license` holds them. On-premise there is no family (server source)."""
    return " ".join(str(app[key]) for key in ("LICENSE", "LICENSE_FAMILY") if app.get(key))[:64]


def store_portal_info(portal: Portal, answers: dict[str, RestResult | errors.PortalError]) -> None:
    """Store CRM mode, licence, scopes, and whether the portal counts the app as installed. The caller commits."""
    mode, app = answers.get("mode"), answers.get("app")
    if isinstance(mode, RestResult) and str(mode.result) in ("1", "2"):
        portal.crm_mode = int(mode.result)
    if not isinstance(app, RestResult) or not isinstance(app.result, dict):
        return
    portal.scopes = _scopes_of(app.result.get("SCOPE")) or portal.scopes
    licence = licence_of(app.result)
    if licence != portal.license:
        portal.license = licence
        runtime().get(clients.BudgetCache).pop(portal.id, None)
    if portal.state == "pending" and app.result.get("INSTALLED") in (True, "true", "Y", "1", 1):
        portal.state = "active"
