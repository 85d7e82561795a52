"""Installing: the grant, what the portal told with it, the events that we want to hear of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, Bitrix24Client, RestResult
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Grant, Portal, audit, db, utcnow
from bx24app.portals import clients, placements
from bx24app.portals.clients import client_by_id
from bx24app.portals.lifecycle import mark_needs_admin

_log = get_logger(__name__)

EVENTS = ("ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")
RETRY_AFTER = timedelta(seconds=60)
"""A portal that could not be set up is looked at again after this."""


def ensure_portal(member_id: str) -> Portal:
    """The portal's row, made where there is none; two first openings at once make one."""
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    empty = {"domain": "", "client_endpoint": "", "server_endpoint": "", "client_id": ""}
    db.session.execute(insert(Portal).values(member_id=member_id, **empty).on_conflict_do_nothing())
    return db.session.scalars(select(Portal).where(Portal.member_id == member_id).with_for_update()).one()


def store_installation(portal: Portal, post: FramePost, info: AppInfo, server: str, what: str = "installed") -> Portal:
    """A verified administrator's opening becomes the installation. `what`: for the audit log. The caller commits."""
    update_installation(portal, info, server, post.application_token, finished=info.is_installed)
    portal.lang = post.lang
    portal.scopes = post.scope or info.scope
    store_grant(portal, info.user_id, post.access_token, post.refresh_token, post.expires_in)
    audit.record(portal.id, info.user_id, "frame", what)
    _log.info(what, portal=portal.id, domain=info.domain)
    return portal


def update_installation(portal: Portal, info: AppInfo, server: str, application_token: str, *, finished: bool) -> None:
    """Write down what the auth server confirmed. `finished`: the portal counts the app as installed, so that events flow."""
    back, anew = portal.state == "removed" or not portal.client_id, portal.client_id != info.client_id
    portal.domain, portal.client_endpoint, portal.server_endpoint = info.domain, info.client_endpoint, server
    portal.client_id, portal.scopes = info.client_id, info.scope or portal.scopes
    if application_token or anew:
        portal.application_token = application_token or None
    if back or portal.state in ("pending", "active"):
        portal.state = "active" if finished else "pending"
        portal.state_before = None
    portal.removed_at = portal.purge_at = None
    if back:
        portal.installed_at, portal.installed_by = utcnow(), info.user_id
    db.session.flush()


def store_grant(portal: Portal, user_id: int, access: str, refresh: str, expires_in: int) -> None:
    """These tokens are the background identity from now on; what a dead grant had stopped may go on. The caller commits."""
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
    """Bind events and read what calls depend on, now; users follow in a job. Idempotent; what fails is tried again by a look."""
    client = client_by_id(portal_id)
    try:
        said = bind_and_read(client)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
        return
    except errors.PortalError as error:
        _log.warning("portal not set up yet", portal=portal_id, error=str(error))
        queue.enqueue_background("look", portal_id, when=utcnow() + RETRY_AFTER)
        return
    store_portal_info(db.session.get_one(Portal, portal_id), said)
    db.session.commit()
    queue.enqueue_background("look", portal_id)


def bind_and_read(client: Bitrix24Client, priority: Priority = Priority.CARD) -> dict[str, RestResult | errors.PortalError]:
    """What the portal is and which of our events and places it has: one request, and a second one where a binding is missing or strange.

    Raises:
        bx24app.bitrix24.errors.PortalError: also where events cannot be bound for want of a right or a scope.
    """
    questions = (
        ("bound", "event.get"),
        ("mode", "crm.settings.mode.get"),
        ("app", "app.info"),
        ("placed", "placement.get"),
    )
    said = client.batch([(key, method, {}) for key, method in questions], priority=priority)
    changes = _binding_changes(said["bound"], f"{runtime().config.public_url}/bitrix24/events")
    changes += placements.binding_commands(said.get("placed"), runtime().config.public_url, MAX_BATCH_SIZE - len(changes))
    if changes:
        _check_bindings(client.batch(changes, priority=priority))
    return said


def _binding_changes(bound: RestResult | errors.PortalError, handler: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Bindings to make, and those to undo: of our events to an address that is no longer ours."""
    if not isinstance(bound, RestResult):
        raise bound
    rows = [row for row in bound.result or [] if isinstance(row, dict)]
    pairs = {(str(row.get("event", "")).upper(), str(row.get("handler") or "")) for row in rows}
    changes = [
        (f"b{index}", "event.bind", {"EVENT": event, "HANDLER": handler})
        for index, event in enumerate(EVENTS)
        if (event, handler) not in pairs
    ]
    strange = sorted(pair for pair in pairs if pair[0] in EVENTS and pair[1] not in ("", handler))
    return changes + [
        (f"u{index}", "event.unbind", {"EVENT": event, "HANDLER": where})
        for index, (event, where) in enumerate(strange[: MAX_BATCH_SIZE - len(changes)])
    ]


def _check_bindings(said: dict[str, RestResult | errors.PortalError]) -> None:
    for key, met in said.items():
        if isinstance(met, errors.Refused):
            if "already bind" not in met.description.lower():  # "Handler already binded": somebody was quicker
                _log.warning("not bound", what=key, code=met.code, reason=met.description)
        elif isinstance(met, errors.NeedsAdmin) and key[0] in "pq":
            _log.warning("a tab cannot be placed", what=key, reason=str(met))  # calls go on without it
        elif isinstance(met, errors.PortalError):
            raise met


def store_portal_info(portal: Portal, said: dict[str, RestResult | errors.PortalError]) -> None:
    """CRM mode, licence, and whether the portal counts the app as installed. The caller commits."""
    mode, app = said.get("mode"), said.get("app")
    if isinstance(mode, RestResult) and str(mode.result) in ("1", "2"):
        portal.crm_mode = int(mode.result)
    if not isinstance(app, RestResult) or not isinstance(app.result, dict):
        return
    licence = str(app.result.get("LICENSE") or "")[:64]
    if licence != portal.license:
        portal.license = licence
        runtime().get(clients.BudgetCache).pop(portal.id, None)
    if portal.state == "pending" and app.result.get("INSTALLED") in (True, "true", "Y", "1", 1):
        portal.state = "active"
