"""The states of an installation and the steps between them: needs_admin, pause, removal, purge.

The drain, recordings and jobs report errors that stop a portal here; pages pause it; events and retention remove it.
Everything is kept until a purge, so that a portal that comes back continues where it stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import uniform

from sqlalchemy import delete, exists, func, or_, select, update

from bx24app.bitrix24 import errors
from bx24app.bitrix24.error_table import PER_METHOD
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.domain import probing
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
    Intent,
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
    portal_loop,
    utcnow,
)
from bx24app.portals import intents

_log = get_logger(__name__)

PURGE_AFTER = timedelta(days=30)
"""How long the data of a removed portal is kept, unless the portal asked to delete it at once."""
TRIAL_PROBLEMS = PER_METHOD | {"rights"}
"""Problems of single methods: `profile` succeeds all the same, so that only a delivery shows whether they are over."""
ROWS_PER_STEP = 1000
"""How many rows one step of a purge deletes, so that no lock is held for long."""


PURGE_SECONDS = 120.0
"""How long one run deletes rows; the next one continues."""


def find_by_member(member_id: str) -> Portal | None:
    """The portal with this member_id, removed ones included."""
    return db.session.scalars(select(Portal).where(Portal.member_id == member_id)).first()


def queue_line_sync(portal_id: int) -> None:
    """After a save: queue the job that brings the portal's external lines in line with the settings.

    The save itself has written the intent (`settings.versions`).
    """
    intents.ring(portal_id, "lines")


def state_of(portal_id: int) -> str:
    """The installation's state."""
    return str(db.session.query(Portal.state).filter_by(id=portal_id).scalar())


def mark_needs_admin(portal_id: int, error: errors.NeedsAdmin | errors.Gone) -> None:
    """Stop delivering and keep everything: an administrator has to act. A portal that no longer exists is removed."""
    now = utcnow()
    portal = db.session.get_one(Portal, portal_id, with_for_update=True, populate_existing=True)
    if _is_outdated(portal_id, error):
        db.session.commit()
        db.session.remove()
        queue.wake_portal(portal_id)
        return
    if isinstance(error, errors.Gone):
        if portal.state != "removed":
            _log.warning("portal gone", portal=portal_id, code=error.code)
            remove(portal, clean=False, what="gone", source="system")
    elif portal.state in ("active", "pending", "needs_admin"):
        if portal.state != "needs_admin":
            portal.state_before, portal.state = portal.state, "needs_admin"
        if portal.trouble is None:
            portal.trouble_at = now
            audit.record(portal_id, None, "system", "needs an administrator", code=error.code)
            _log.warning("portal needs an administrator", portal=portal_id, code=error.code, reason=str(error))
        portal.trouble = error.code
        portal.probe_at = _next_probe_at(portal, now)
        if error.code not in _NO_ANSWERS:
            portal.answered_at = now
    db.session.commit()
    db.session.remove()


_NO_ANSWERS = ("authorise", "closed")
"""Problems that do not count as an answer of the portal: the authorisation server reports it, or the portal may be
gone for good."""


def _next_probe_at(portal: Portal, now: datetime) -> datetime:
    locked_for = now - (portal.trouble_at or now)
    pause = probing.next_pause(locked_for, locked_for < probing.FIRST_DAY or has_waiting(portal.id))
    return now + pause * uniform(0.9, 1.0)  # noqa: S311 - spreads portals, not a secret


def has_waiting(portal_id: int) -> bool:
    """Does a command or a recording wait for this portal?"""
    due = (Recording.portal_id == portal_id, Recording.state == "waiting", Recording.due_at.is_not(None))
    waiting = (Delivery.portal_id == portal_id, Delivery.state == "waiting")
    return bool(db.session.scalar(select(or_(exists().where(*waiting), exists().where(*due)))))


def hurry_probe(portal: Portal) -> None:
    """A notification came for a portal that is asked seldom: ask it soon. The caller commits."""
    now = utcnow()
    if portal.state == "needs_admin" and portal.probe_at is not None and portal.probe_at > now + probing.PROBE_PAUSE:
        portal.probe_at = now


def _is_outdated(portal_id: int, error: errors.NeedsAdmin | errors.Gone) -> bool:
    """Is the error about a grant that was replaced meanwhile?"""
    if not isinstance(error, errors.NeedsAdmin) or error.generation is None:
        return False
    generation = db.session.query(Grant.generation).filter_by(portal_id=portal_id).scalar()
    return bool(generation != error.generation)


def resume(portal_id: int) -> None:
    """The portal has accepted a request: deliver again; waiting deliveries are sent in their order.

    A problem of a single method ends with the first delivery that succeeds: until then it stays, and one batch leaves
    at a time (`calls.drain`). Without anything to deliver it ends after `probing.TRIAL_LASTS`.
    """
    portal = db.session.get_one(Portal, portal_id, with_for_update=True, populate_existing=True)
    if portal.state == "needs_admin":
        portal.state, portal.state_before = portal.state_before or "active", None
        if portal.trouble in TRIAL_PROBLEMS:
            portal.probe_at = utcnow() + probing.TRIAL_LASTS
        else:
            end_problem(portal)
    db.session.commit()
    queue.wake_portal(portal_id)


def end_long_trials() -> None:
    """Trials in which nothing was refused for `probing.TRIAL_LASTS`."""
    is_over = (Portal.state.in_(("active", "pending")), Portal.trouble.is_not(None), Portal.probe_at <= utcnow())
    for portal in db.session.scalars(select(Portal).where(*is_over).with_for_update(skip_locked=True)):
        end_problem(portal)
    db.session.commit()


def end_problem(portal: Portal) -> None:
    """The portal accepts what it refused. The caller commits."""
    portal.trouble = portal.trouble_at = portal.probe_at = None
    portal.answered_at = utcnow()
    audit.record(portal.id, None, "system", "resumed")
    _log.info("portal resumed", portal=portal.id)


def pause(portal_id: int, user_id: int | None, paused: bool) -> None:
    """Stop or resume deliveries, as an administrator wishes; nothing is lost.

    A portal that needed an administrator before still does afterwards.
    """
    portal = db.session.get_one(Portal, portal_id)
    if paused and portal.state in ("active", "pending", "needs_admin"):
        portal.state_before, portal.state = portal.state, "paused"
        if portal.trouble is not None:
            portal.state_before = "needs_admin"
    elif not paused and portal.state == "paused":
        portal.state, portal.state_before = portal.state_before or "active", None
        if portal.state == "needs_admin":
            portal.probe_at = utcnow()
    audit.record(portal_id, user_id, "frame", "paused" if paused else "unpaused")
    db.session.commit()
    queue.wake_portal(portal_id)


def remove(portal: Portal, *, clean: bool, what: str = "uninstalled", source: str = "event") -> None:
    """Uninstall: delete the grant at once, personal data as soon as a worker is free (`clean`) or after 30 days.

    The caller commits, and then calls `queue_purge` where the data is to be deleted at once.
    """
    now = utcnow()
    portal.state, portal.removed_at = "removed", now
    portal.trouble = portal.trouble_at = portal.probe_at = portal.application_token = portal.state_before = None
    db.session.execute(delete(Grant).where(Grant.portal_id == portal.id))
    portal.purge_at = now if clean else now + PURGE_AFTER
    audit.record(portal.id, None, source, what, clean=clean)
    db.session.flush()


def queue_purge(portal_id: int) -> None:
    """Queue the purge of a portal that was removed; a job that is lost is replaced by the next `purge_due`."""
    queue.enqueue_background("purge_portal", portal_id)


def remove_vanished() -> int:
    """Remove portals that have not accepted a request for BX24APP_KEEP_SILENT_DAYS; returns how many.

    Their data is kept for 30 more days. An administrator who comes back finds settings and hooks again.
    """
    days = runtime().config.keep_silent_days
    if not days:
        return 0
    before = utcnow() - timedelta(days=days)
    # The daily sync leaves out portals that are paused or pending; for them the last refresh of the grant counts.
    refreshed = exists().where(Grant.portal_id == Portal.id, Grant.refreshed_at > before)
    is_expected = Portal.state.in_(("active", "needs_admin")) | (Portal.state.in_(("pending", "paused")) & ~refreshed)
    is_silent = func.coalesce(Portal.answered_at, Portal.installed_at) < before
    vanished = list(db.session.scalars(select(Portal.id).where(is_expected, is_silent).order_by(Portal.id)))
    db.session.rollback()
    return portal_loop.for_each("vanished", vanished, _remove_vanished)


def _remove_vanished(portal_id: int) -> None:
    portal = db.session.get_one(Portal, portal_id)
    _log.warning("portal vanished", portal=portal_id, answered_at=str(portal.answered_at))
    remove(portal, clean=False, what="vanished", source="system")
    db.session.commit()


def purge_due() -> None:
    """Purge removed portals whose 30 days are over, and those whose purge was interrupted."""
    due = select(Portal.id).where(Portal.state == "removed", Portal.purge_at <= utcnow()).order_by(Portal.purge_at)
    ids = list(db.session.scalars(due))
    db.session.rollback()
    portal_loop.for_each("purge", ids, purge, seconds=PURGE_SECONDS, portal_seconds=PURGE_SECONDS)


def purge(portal_id: int) -> bool:
    """Delete everything of a removed portal: calls, employees, settings, hooks, spool files. Commits in small steps.

    False: its time is not over, the portal has come back, or this run's time is used up; then `purge_due` continues.
    Files of other machines' spools are removed there, by `operations.retention.clean_spool`.
    """
    if not _may_purge(portal_id):
        return False
    _remove_spool_files(portal_id)
    for table in (Recording, Delivery, Call, Notification):
        query = select(table.id).where(table.portal_id == portal_id).limit(ROWS_PER_STEP)
        while ids := list(db.session.scalars(query)):
            db.session.execute(delete(table).where(table.id.in_(ids)))
            db.session.commit()
            if seconds_left(PURGE_SECONDS) <= 0 or not _may_purge(portal_id):
                return False
    for small in (PortalUser, Dictionary, Notice, LineCounter, Pbx, SettingsVersion, Grant, Figure, FigureMark, Intent):
        db.session.execute(delete(small).where(small.portal_id == portal_id))
    values = {"settings_version_id": None, "purge_at": None, "domain": "", "client_endpoint": "", "installed_by": None}
    db.session.execute(update(Portal).where(Portal.id == portal_id).values(**values))
    db.session.commit()
    _log.info("portal purged", portal=portal_id)
    return True


def _may_purge(portal_id: int) -> bool:
    """Is the portal still removed, and its time over? It may be installed again at any moment."""
    due = (Portal.id == portal_id, Portal.state == "removed", Portal.purge_at <= utcnow())
    return db.session.scalar(select(Portal.id).where(*due)) is not None


def _remove_spool_files(portal_id: int) -> None:
    """Remove recordings that were downloaded and not attached yet."""
    spool.remove_files(db.session.scalars(select(Recording.id).where(Recording.portal_id == portal_id)))
