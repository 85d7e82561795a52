"""USE CASE: receive one notification of a PBX: verify, store once, answer, wake. Nothing else happens before the answer.

Order of checks (contract, section 5): size (the web edge), hook key, dialect, signature, shape. 200 is said only after the commit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, select, type_coerce, update
from sqlalchemy.exc import DBAPIError

from bx24app.calls.inbox import writer
from bx24app.calls.inbox.writer import Guard
from bx24app.infra import tracing, wakeups
from bx24app.infra.encryption import decrypt
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import events_dialect, vpbx
from bx24app.mango.notification import ForgedNotification, MalformedNotification
from bx24app.models import Pbx, Portal, db, hash_hook_key, utcnow
from bx24app.settings import hook_keys

_log = get_logger(__name__)

LIMIT_BYTES = 256 * 1024
"""Larger bodies are answered 413 by the web edge before anything is read."""
RECENT_SECONDS = 15
"""So long a good notification counts as just heard: `last_notification_at` is not written anew for each. As long a hook is remembered."""
_MAX_CACHED_HOOKS = 2000
_HOOK_QUERY = (
    select(
        Pbx.id, Pbx.portal_id, Pbx.dialects, type_coerce(Pbx.api_key, LargeBinary), type_coerce(Pbx.api_salt, LargeBinary),
        Pbx.refused_count, Pbx.last_notification_at, Pbx.hook_hash, Pbx.old_hook_hash,
    )
    .join(Portal, Portal.id == Pbx.portal_id)
    .where(Pbx.removed_at.is_(None), Portal.state != "removed", hook_keys.key_condition())
)  # fmt: skip
"""Made once, since making it costs more than asking it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Whose hook key this is: what receiving needs of a PBX."""

    pbx_id: int
    portal_id: int
    dialects: str
    api_key: str | None
    api_salt: str | None
    refused_count: int
    has_recent_notification: bool
    """Within `HEARD_SECONDS`."""
    guard: Guard | None = None
    """What must still be true when it is used again; None: it may not be remembered."""
    valid_until: float = 0.0
    """Remembered so long (`time.monotonic`); 0: it was looked up for this notification."""


class _StaleHook(Exception):
    """What a remembered hook says is not enough for this answer."""


def find_hook(hook_key: str) -> Hook | None:
    """The PBX with this hook key, its present one or its old one within the overlap; None: unknown, removed."""
    with db.engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(_HOOK_QUERY, hook_keys.key_params(hook_key)).first()
    if row is None:
        return None
    pbx_id, portal_id, dialects, key, salt, refused, heard_at, *hashes = row
    guard = Guard(hash_hook_key(hook_key), bytes(key), bytes(salt), dialects) if key and salt else None
    if guard is not None and guard.hook_hash not in hashes:
        guard = None  # found by what a version before 0014 wrote
    api_key, api_salt = (None if one is None else decrypt(bytes(one)) for one in (key, salt))
    fresh = heard_at is not None and utcnow() - heard_at < timedelta(seconds=RECENT_SECONDS)
    return Hook(pbx_id, portal_id, dialects, api_key, api_salt, refused, fresh, guard)


def receive(
    hook_key: str, suffix: str, content_type: str, form: Mapping[str, str] | None, body: bytes, query: Mapping[str, str]
) -> int:
    """Take one POST of a PBX and say the HTTP status: 200, 403, 404, or 503 (the database does not answer).

    A hook is remembered for a few seconds. Only 200 for what was stored is said by a remembered one, and only where the INSERT found it
    still true (`storing`); for anything else it is looked up anew. So a change of a hook is obeyed from its commit on.
    """
    try:
        known = _hook_cache().get(hash_hook_key(hook_key))
        if known is not None and time.monotonic() < known.valid_until:
            try:
                return _handle_notification(known, suffix, content_type, form, body, query)
            except _StaleHook:
                pass  # as if it were not known
        hook = find_hook(hook_key)
        return 404 if hook is None else _handle_notification(hook, suffix, content_type, form, body, query)
    except DBAPIError as error:
        db.session.rollback()
        _log.error("notification not stored, the database does not answer", error=type(error.orig).__name__)
        return 503


class HookCache(dict[str, Hook]):
    """Hash of a hook key -> the hook, as this process looked it up within the last seconds."""


def _hook_cache() -> HookCache:
    return runtime().get(HookCache)


def _cache_hook(hook: Hook) -> None:
    """After something good of it was stored."""
    if hook.guard is None:
        return
    known = _hook_cache()
    if len(known) >= _MAX_CACHED_HOOKS:
        known.clear()
    until = time.monotonic() + RECENT_SECONDS
    known[hook.guard.hook_hash] = replace(hook, refused_count=0, has_recent_notification=True, valid_until=until)


def _handle_notification(
    hook: Hook, suffix: str, content_type: str, form: Mapping[str, str] | None, body: bytes, query: Mapping[str, str]
) -> int:
    if _is_signed(content_type, form):
        return _handle_signed(hook, suffix, form or {})
    return _handle_unsigned(hook, suffix, body, query)


def _is_signed(content_type: str, form: Mapping[str, str] | None) -> bool:
    return not content_type.startswith("application/json") or bool(form and "sign" in form)


def _handle_signed(hook: Hook, suffix: str, form: Mapping[str, str]) -> int:
    """The vpbx dialect. A ping and an empty form are answered 200: Mango's account will not save the address otherwise."""
    if suffix == "ping" or not any(form.get(name) for name in ("json", "sign", "vpbx_api_key")):
        return _skip_notification(hook)
    if "vpbx" not in hook.dialects.split(","):
        return _refuse_notification(hook, "the signed dialect is not enabled for this PBX")
    raw = form.get("json", "")
    try:
        vpbx.verify_signature(hook.api_key, hook.api_salt, form.get("vpbx_api_key"), form.get("sign"), raw)
    except ForgedNotification as error:
        return _refuse_notification(hook, str(error))
    if not vpbx.is_stored(suffix):
        return _skip_notification(hook)
    try:
        found = vpbx.identify_strictly(suffix, raw, int(utcnow().timestamp()))
    except MalformedNotification as error:
        return _store_rejected(hook, "vpbx", suffix, raw, str(error))
    return _store_notification(
        hook, "vpbx", suffix, found.entry_id, found.command_id if not found.entry_id else None, found.dedup_key, raw
    )


def _handle_unsigned(hook: Hook, suffix: str, body: bytes, query: Mapping[str, str]) -> int:
    """The short dialect: accepted only where the PBX lists it."""
    if not body.strip():
        return _skip_notification(hook)
    if "events" not in hook.dialects.split(","):
        return _refuse_notification(hook, "the unsigned dialect is not enabled for this PBX")
    raw = body.decode("utf-8", errors="replace")
    try:
        name = events_dialect.find_name(suffix, raw, query)
        if name is None:
            return _skip_notification(hook)
        found = events_dialect.identify(name, raw)
        events_dialect.parse(name, raw, int(utcnow().timestamp()))
    except MalformedNotification as error:
        return _store_rejected(hook, "events", suffix.rpartition("/")[2][:64], raw, str(error))
    uuid = found.alias or found.entry_id
    return _store_notification(hook, "events", name, found.entry_id, f"uuid:{uuid}", found.dedup_key, raw)


def _store_notification(
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
    with tracing.call_span("store notification", hook.portal_id, entry_id, **{"bx24app.name": name}):
        stored = writer.store(values, hook.guard if hook.valid_until else None)
    if hook.valid_until and not stored:
        raise _StaleHook
    if reason is None:
        wakeups.wake(hook.portal_id)
    if not hook.has_recent_notification or hook.refused_count:
        _update_last_notification(hook, now)
    if not hook.valid_until:
        _cache_hook(hook)
    return 200


def _update_last_notification(hook: Hook, now: datetime) -> None:
    """Not needed for the answer: the notification is stored, whatever becomes of this."""
    good = {"last_notification_at": now, "refused_count": 0, "refused_since": None}
    try:
        db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**good))
        db.session.commit()
    except DBAPIError as error:
        db.session.rollback()
        _log.warning("not noted when the PBX was heard", pbx=hook.pbx_id, error=type(error.orig).__name__)


def _store_rejected(hook: Hook, dialect: str, name: str, raw: str, reason: str) -> int:
    """Genuine but unreadable: stored with the reason, so that the journal shows it; sending it again would not mend it."""
    key = "rejected:" + hashlib.sha256(f"{name}\n{raw}".encode(errors="surrogatepass")).hexdigest()
    _log.warning("notification rejected", pbx=hook.pbx_id, name=name, reason=reason)
    return _store_notification(hook, dialect, name[:64] or "?", None, None, key, raw, reason=reason)


def _skip_notification(hook: Hook) -> int:
    """200 without an INSERT, which would have asked whether the hook is still true."""
    if hook.valid_until:
        raise _StaleHook
    return 200


def _refuse_notification(hook: Hook, why: str) -> int:
    """Wrong key or signature: counted on the PBX, nothing stored."""
    if hook.valid_until:
        raise _StaleHook
    now = utcnow()
    values = {"refused_count": Pbx.refused_count + 1}
    if hook.refused_count == 0:
        values["refused_since"] = now  # type: ignore[assignment]
    db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**values))
    db.session.commit()
    _log.warning("notification refused", pbx=hook.pbx_id, why=why)
    return 403
