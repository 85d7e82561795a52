"""USE CASE: receive one notification of a PBX: verify, store once, answer, wake. Nothing else happens before the answer.

Order of checks (contract, section 5): size (the web edge), hook key, dialect, signature, shape. 200 is said only after the commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from bx24app import hook_keys, queue, tracing
from bx24app.logs import log
from bx24app.mango import short, vpbx
from bx24app.mango.notice import Forged, Malformed
from bx24app.models import Notification, Pbx, Portal, db, utcnow

_log = log(__name__)

LIMIT_BYTES = 256 * 1024
"""Larger bodies are answered 413 by the web edge before anything is read."""
# Made once, since making one costs as much as running it; on the table, since the mapped class would take the way of bulk inserts.
_INSERTS = {
    "sqlite": sqlite.insert(Notification.metadata.tables["notification"]).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(Notification.metadata.tables["notification"]).on_conflict_do_nothing(),
}


@dataclass(frozen=True, slots=True)
class Hook:
    """Whose hook key this is: what receiving needs of a PBX."""

    pbx_id: int
    portal_id: int
    dialects: str
    api_key: str | None
    api_salt: str | None
    refused: int
    heard: bool


def find_hook(hook_key: str) -> Hook | None:
    """The PBX with this hook key, its present one or its old one within the overlap; None: unknown, removed."""
    columns = (
        Pbx.id,
        Pbx.portal_id,
        Pbx.dialects,
        Pbx.api_key,
        Pbx.api_salt,
        Pbx.refused_count,
        Pbx.last_notification_at,
    )
    query = select(*columns).join(Portal, Portal.id == Pbx.portal_id)
    query = query.where(Pbx.removed_at.is_(None), Portal.state != "removed")
    row = db.session.execute(query.where(hook_keys.is_of(hook_key))).first()
    if row is None:
        return None
    fresh = row[6] is not None and utcnow() - row[6] < timedelta(seconds=15)
    return Hook(*row[:6], heard=fresh)


def receive(
    hook_key: str, suffix: str, content_type: str, form: Mapping[str, str] | None, body: bytes, query: Mapping[str, str]
) -> int:
    """Take one POST of a PBX and say the HTTP status: 200, 403, 404, or 503 (the database does not answer)."""
    try:
        hook = find_hook(hook_key)
        if hook is None:
            return 404
        if _is_signed(content_type, form):
            return _signed(hook, suffix, form or {})
        return _unsigned(hook, suffix, body, query)
    except DBAPIError as error:
        db.session.rollback()
        _log.error("notification not stored, the database does not answer", error=type(error.orig).__name__)
        return 503


def _is_signed(content_type: str, form: Mapping[str, str] | None) -> bool:
    return not content_type.startswith("application/json") or bool(form and "sign" in form)


def _signed(hook: Hook, suffix: str, form: Mapping[str, str]) -> int:
    """The vpbx dialect. A ping and an empty form are answered 200: Mango's account will not save the address otherwise."""
    if suffix == "ping" or not any(form.get(name) for name in ("json", "sign", "vpbx_api_key")):
        return 200
    if "vpbx" not in hook.dialects.split(","):
        return _refused(hook, "the signed dialect is not enabled for this PBX")
    raw = form.get("json", "")
    try:
        vpbx.verify(hook.api_key, hook.api_salt, form.get("vpbx_api_key"), form.get("sign"), raw)
    except Forged as error:
        return _refused(hook, str(error))
    if not vpbx.is_used(suffix):
        return 200
    try:
        found = vpbx.identify(suffix, raw)
        vpbx.parse(suffix, raw, int(utcnow().timestamp()))
    except Malformed as error:
        return _rejected(hook, "vpbx", suffix, raw, str(error))
    return _store(
        hook, "vpbx", suffix, found.entry_id, found.command_id if not found.entry_id else None, found.dedup_key, raw
    )


def _unsigned(hook: Hook, suffix: str, body: bytes, query: Mapping[str, str]) -> int:
    """The short dialect: accepted only where the PBX lists it."""
    if not body.strip():
        return 200
    if "events" not in hook.dialects.split(","):
        return _refused(hook, "the unsigned dialect is not enabled for this PBX")
    raw = body.decode("utf-8", errors="replace")
    try:
        name = short.name_of(suffix, raw, query)
        if name is None:
            return 200
        found = short.identify(name, raw)
        short.parse(name, raw, int(utcnow().timestamp()))
    except Malformed as error:
        return _rejected(hook, "events", suffix.rpartition("/")[2][:64], raw, str(error))
    uuid = found.alias or found.entry_id
    return _store(hook, "events", name, found.entry_id, f"uuid:{uuid}", found.dedup_key, raw)


def _store(
    hook: Hook,
    dialect: str,
    name: str,
    entry_id: str | None,
    command_id: str | None,
    dedup_key: str,
    raw: str,
    reason: str | None = None,
) -> int:
    now = utcnow()
    values = {
        "portal_id": hook.portal_id,
        "pbx_id": hook.pbx_id,
        "dialect": dialect,
        "name": name,
        "entry_id": entry_id,
        "command_id": command_id,
        "dedup_key": dedup_key,
        "body": raw.replace("\x00", "\ufffd"),  # PostgreSQL's text cannot hold NUL
        "state": "rejected" if reason else "new",
        "reason": reason,
        "received_at": now,
    }
    with tracing.span("store notification", hook.portal_id, entry_id, **{"bx24app.name": name}):
        stored = db.session.execute(_INSERTS[db.engine.dialect.name], values).rowcount  # type: ignore[attr-defined]
        if not hook.heard or hook.refused:
            good = {"last_notification_at": now, "refused_count": 0, "refused_since": None}
            db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**good))
        db.session.commit()
    if stored and reason is None:
        queue.wake(hook.portal_id)
    return 200


def _rejected(hook: Hook, dialect: str, name: str, raw: str, reason: str) -> int:
    """Genuine but unreadable: stored with the reason, so that the journal shows it; sending it again would not mend it."""
    key = "rejected:" + hashlib.sha256(f"{name}\n{raw}".encode(errors="surrogatepass")).hexdigest()
    _log.warning("notification rejected", pbx=hook.pbx_id, name=name, reason=reason)
    return _store(hook, dialect, name[:64] or "?", None, None, key, raw, reason=reason)


def _refused(hook: Hook, why: str) -> int:
    """Wrong key or signature: counted on the PBX, nothing stored."""
    now = utcnow()
    values = {"refused_count": Pbx.refused_count + 1}
    if hook.refused == 0:
        values["refused_since"] = now  # type: ignore[assignment]
    db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**values))
    db.session.commit()
    _log.warning("notification refused", pbx=hook.pbx_id, why=why)
    return 403
