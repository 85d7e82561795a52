"""The states of an installation and the steps between them: trouble, pause, removal, purge."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, exists, func, select, update

from bx24app.bitrix24 import errors
from bx24app.infra import queue, spool
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import (
    Call,
    Delivery,
    Dictionary,
    Figure,
    FigureMark,
    Grant,
    LineCounter,
    Notice,
    Notification,
    Pbx,
    Portal,
    PortalUser,
    Recording,
    SettingsVersion,
    audit,
    db,
    utcnow,
)

_log = get_logger(__name__)

PURGE_AFTER = timedelta(days=30)
PROBE_INTERVAL = timedelta(hours=1)
ROWS_PER_STEP = 1000
"""Rows that one step of a purge deletes, so that no lock is held for long."""


def find_by_member(member_id: str) -> Portal | None:
    """The portal with this member_id, removed ones included."""
    return db.session.scalars(select(Portal).where(Portal.member_id == member_id)).first()


def queue_line_sync(portal_id: int) -> None:
    """Let the portal's external lines follow the settings, soon and by a job of its own."""
    queue.enqueue_background("lines", portal_id)


def state_of(portal_id: int) -> str:
    """The installation's state."""
    return str(db.session.query(Portal.state).filter_by(id=portal_id).scalar())


def mark_needs_admin(portal_id: int, error: errors.NeedsAdmin | errors.Gone) -> None:
    """Stop delivering and keep everything: an administrator has to do something, or the portal is gone."""
    now = utcnow()
    portal = db.session.get_one(Portal, portal_id, with_for_update=True, populate_existing=True)
    if _is_outdated(portal_id, error):
        db.session.commit()
        db.session.remove()
        queue.wake_portal(portal_id, force=True)
        return
    if isinstance(error, errors.Gone):
        if portal.state != "removed":
            _log.warning("portal gone", portal=portal_id, code=error.code)
            remove(portal, clean=False, what="gone", source="system")
    elif portal.state in ("active", "pending", "needs_admin"):
        if portal.state != "needs_admin":
            portal.state_before, portal.state, portal.trouble_at = portal.state, "needs_admin", now
            audit.record(portal_id, None, "system", "needs an administrator", code=error.code)
            _log.warning("portal needs an administrator", portal=portal_id, code=error.code, reason=str(error))
        portal.trouble, portal.probe_at = error.code, now + PROBE_INTERVAL
        if error.code != "authorise":  # that is the auth server's word; the others are the portal's own
            portal.answered_at = now
    db.session.commit()
    db.session.remove()


def _is_outdated(portal_id: int, error: errors.NeedsAdmin | errors.Gone) -> bool:
    """The word is about a grant that was replaced while it was on its way."""
    if not isinstance(error, errors.NeedsAdmin) or error.generation is None:
        return False
    held = db.session.query(Grant.generation).filter_by(portal_id=portal_id).scalar()
    return bool(held != error.generation)


def resume(portal_id: int) -> None:
    """Deliver again; what waited leaves in its order."""
    portal = db.session.get_one(Portal, portal_id)
    if portal.state == "needs_admin":
        portal.state, portal.state_before = portal.state_before or "active", None
        portal.trouble = portal.trouble_at = portal.probe_at = None
        portal.answered_at = utcnow()
        audit.record(portal_id, None, "system", "resumed")
        _log.info("portal resumed", portal=portal_id)
    db.session.commit()
    queue.wake_portal(portal_id, force=True)


def pause(portal_id: int, user_id: int | None, paused: bool) -> None:
    """Stop or resume deliveries by an administrator's wish; nothing is lost meanwhile. A trouble that was there before comes back."""
    portal = db.session.get_one(Portal, portal_id)
    if paused and portal.state in ("active", "pending", "needs_admin"):
        portal.state_before, portal.state = portal.state, "paused"
        if portal.trouble is not None:
            portal.state_before = "needs_admin"
    elif not paused and portal.state == "paused":
        portal.state, portal.state_before = portal.state_before or "active", None
    audit.record(portal_id, user_id, "frame", "paused" if paused else "unpaused")
    db.session.commit()
    queue.wake_portal(portal_id, force=True)


def remove(portal: Portal, *, clean: bool, what: str = "uninstalled", source: str = "event") -> None:
    """Uninstalled: the grant goes at once, personal data at once (`clean`) or after 30 days. The caller commits."""
    now = utcnow()
    portal.state, portal.removed_at = "removed", now
    portal.trouble = portal.trouble_at = portal.probe_at = portal.application_token = portal.state_before = None
    db.session.execute(delete(Grant).where(Grant.portal_id == portal.id))
    portal.purge_at = now if clean else now + PURGE_AFTER
    audit.record(portal.id, None, source, what, clean=clean)
    db.session.flush()
    if clean:
        purge(portal.id)


def remove_vanished() -> int:
    """Portals that have not let us in for BX24APP_KEEP_SILENT_DAYS, and never said that they uninstalled, are removed as if they had; so many.

    Their data is kept for 30 days more. An administrator who comes back finds settings and hooks again.
    """
    days = runtime().config.keep_silent_days
    if not days:
        return 0
    old = utcnow() - timedelta(days=days)
    # Whoever is paused, or has not finished the installation, is not looked at daily; the auth server's last good word counts for them.
    refreshed = exists().where(Grant.portal_id == Portal.id, Grant.refreshed_at > old)
    asked = Portal.state.in_(("active", "needs_admin")) | (Portal.state.in_(("pending", "paused")) & ~refreshed)
    silent = func.coalesce(Portal.answered_at, Portal.installed_at) < old
    found = list(db.session.scalars(select(Portal).where(asked, silent).limit(100)))
    for portal in found:
        _log.warning("portal has vanished", portal=portal.id, answered_at=str(portal.answered_at))
        remove(portal, clean=False, what="vanished", source="system")
    db.session.commit()
    return len(found)


def purge(portal_id: int) -> None:
    """Everything of a removed portal goes: calls, people, settings, hooks, files on their way. Commits in small steps."""
    _remove_spool_files(portal_id)
    for table in (Recording, Delivery, Call, Notification):
        some = select(table.id).where(table.portal_id == portal_id).limit(ROWS_PER_STEP)
        while ids := list(db.session.scalars(some)):
            db.session.execute(delete(table).where(table.id.in_(ids)))
            db.session.commit()
    for rest in (PortalUser, Dictionary, Notice, LineCounter, Pbx, SettingsVersion, Grant, Figure, FigureMark):
        db.session.execute(delete(rest).where(rest.portal_id == portal_id))
    values = {"settings_version_id": None, "purge_at": None, "domain": "", "client_endpoint": "", "installed_by": None}
    db.session.execute(update(Portal).where(Portal.id == portal_id).values(**values))
    db.session.commit()
    _log.info("portal purged", portal=portal_id)


def _remove_spool_files(portal_id: int) -> None:
    """Recordings that were fetched and not attached yet."""
    for recording_id in db.session.scalars(select(Recording.id).where(Recording.portal_id == portal_id)):
        spool.remove(recording_id)


def purge_due() -> None:
    """Removed portals whose 30 days are over, and those whose purge was cut short."""
    due = select(Portal.id).where(Portal.state == "removed", Portal.purge_at <= utcnow())
    for portal_id in list(db.session.scalars(due)):
        purge(portal_id)
