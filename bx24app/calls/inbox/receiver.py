"""USE CASE: receive one notification of a PBX: verify it, store it once, wake the portal, return the status. Called by
`web.webhooks`.

The order of checks is: size (in the web layer), hook key, dialect, signature, shape (contract, section 5). 200 is
returned only after the commit, since Mango repeats nothing.
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
from bx24app.domain.dialects import split_names
from bx24app.infra import tracing, wakeups
from bx24app.infra.encryption import decrypt
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import dialects
from bx24app.mango.dialects import HookPost
from bx24app.mango.notification import ForgedNotification, MalformedNotification, NotificationIdentity
from bx24app.models import Pbx, Portal, db, hash_hook_key, utcnow
from bx24app.models.connections import open_reader
from bx24app.settings import hook_keys

_log = get_logger(__name__)

LIMIT_BYTES = 256 * 1024
"""The web layer answers larger bodies with 413 before it reads them."""
RECENT_SECONDS = 15
"""`last_notification_at` is written at most this often. A hook is cached for the same time."""
_MAX_CACHED_HOOKS = 2000
_HOOK_QUERY = (
    select(
        Pbx.id, Pbx.portal_id, Pbx.dialects,
        type_coerce(Pbx.api_key, LargeBinary), type_coerce(Pbx.api_salt, LargeBinary),
        Pbx.refused_count, Pbx.last_notification_at, Pbx.hook_hash, Pbx.old_hook_hash,
    )
    .join(Portal, Portal.id == Pbx.portal_id)
    .where(Pbx.removed_at.is_(None), Portal.state != "removed", hook_keys.key_condition())
)  # fmt: skip
"""Made once, since building it costs more than running it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """What receiving needs of the PBX that a hook key belongs to."""

    pbx_id: int
    portal_id: int
    dialects: tuple[str, ...]
    api_key: str | None
    api_salt: str | None
    refused_count: int
    has_recent_notification: bool
    """Within `RECENT_SECONDS`."""
    guard: Guard | None = None
    """What must still hold when the cached hook is used again; None: it may not be cached."""
    valid_until: float = 0.0
    """Until when it is cached (`time.monotonic`); 0: it was looked up for this notification."""


class _StaleHook(Exception):
    """A cached hook is not enough for this answer."""


def find_hook(hook_key: str) -> Hook | None:
    """The PBX whose current hook key this is, or whose old one within the overlap; None: unknown or removed."""
    with open_reader() as connection:
        row = connection.execute(_HOOK_QUERY, hook_keys.key_params(hook_key)).first()
    if row is None:
        return None
    pbx_id, portal_id, enabled, key, salt, refused, last_at, *hashes = row
    guard = Guard(hash_hook_key(hook_key), bytes(key), bytes(salt), enabled) if key and salt else None
    if guard is not None and guard.hook_hash not in hashes:
        guard = None  # found by what a version before 0014 wrote
    api_key, api_salt = (None if secret is None else decrypt(bytes(secret)) for secret in (key, salt))
    is_recent = last_at is not None and utcnow() - last_at < timedelta(seconds=RECENT_SECONDS)
    return Hook(pbx_id, portal_id, split_names(enabled), api_key, api_salt, refused, is_recent, guard)


def receive(
    hook_key: str, suffix: str, content_type: str, form: Mapping[str, str] | None, body: bytes, query: Mapping[str, str]
) -> int:
    """Take one POST of a PBX and return the HTTP status: 200, 403, 404, or 503 if the database does not answer.

    A hook is cached for a few seconds. A cached hook may only lead to 200 for a stored notification, and only if the
    INSERT found the hook still valid (`writer`). For any other answer the hook is looked up again. So a change of a
    hook takes effect with its commit.
    """
    post = HookPost(suffix, content_type, form, body, query)
    try:
        cached = _hook_cache().get(hash_hook_key(hook_key))
        if cached is not None and time.monotonic() < cached.valid_until:
            try:
                return _handle_notification(cached, post)
            except _StaleHook:
                pass  # look it up, as if it were not cached
        hook = find_hook(hook_key)
        return 404 if hook is None else _handle_notification(hook, post)
    except DBAPIError as error:
        db.session.rollback()
        _log.error("notification not stored, the database does not answer", error=type(error.orig).__name__)
        return 503


class HookCache(dict[str, Hook]):
    """Hash of a hook key -> the hook, as this process looked it up within the last seconds."""


def _hook_cache() -> HookCache:
    return runtime().get(HookCache)


def _cache_hook(hook: Hook) -> None:
    """Called after a good notification of this hook was stored."""
    if hook.guard is None:
        return
    hooks = _hook_cache()
    if len(hooks) >= _MAX_CACHED_HOOKS:
        hooks.clear()
    until = time.monotonic() + RECENT_SECONDS
    hooks[hook.guard.hook_hash] = replace(hook, refused_count=0, has_recent_notification=True, valid_until=until)


def _handle_notification(hook: Hook, post: HookPost) -> int:
    name = dialects.recognise(post, hook.dialects)
    dialect = dialects.DIALECTS[name]
    if dialect.is_probe(post):
        return _skip_notification(hook)
    if name not in hook.dialects:
        return _refuse_notification(hook, f"the {dialect.kind} dialect is not enabled for this PBX")
    if dialect.verify is not None:
        try:
            dialect.verify(post, hook.api_key, hook.api_salt)
        except ForgedNotification as error:
            return _refuse_notification(hook, str(error))
    return _store_genuine(hook, name, post)


def _store_genuine(hook: Hook, dialect_name: str, post: HookPost) -> int:
    """A verified notification: stored to be folded, stored as rejected if nobody can read it, or skipped if it means
    nothing to us."""
    dialect = dialects.DIALECTS[dialect_name]
    name, text = dialect.find_name(post), dialect.read_text(post)
    if name is None:
        return _skip_notification(hook)
    try:
        identity = dialect.identify(name, text, int(utcnow().timestamp()))
    except MalformedNotification as error:
        return _store_rejected(hook, dialect_name, dialect.path_name(post)[:64], text, str(error))
    return _store_notification(hook, dialect_name, identity, text)


def _store_notification(
    hook: Hook, dialect: str, identity: NotificationIdentity, text: str, reason: str | None = None
) -> int:
    now = utcnow()
    values = {
        "portal_id": hook.portal_id,
        "pbx_id": hook.pbx_id,
        "dialect": dialect,
        "name": identity.name,
        "entry_id": identity.entry_id,
        "command_id": identity.command_id,
        "dedup_key": identity.dedup_key,
        "body": text.replace("\x00", "\ufffd"),  # PostgreSQL's text cannot hold NUL
        "state": "rejected" if reason else "new",
        "reason": reason,
        "received_at": now,
    }
    with tracing.call_span("store notification", hook.portal_id, identity.entry_id, **{"bx24app.name": identity.name}):
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
    """The answer does not depend on this: the notification is stored already."""
    values = {"last_notification_at": now, "refused_count": 0, "refused_since": None}
    try:
        db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**values))
        db.session.commit()
    except DBAPIError as error:
        db.session.rollback()
        _log.warning("last_notification_at not updated", pbx=hook.pbx_id, error=type(error.orig).__name__)


def _store_rejected(hook: Hook, dialect: str, name: str, text: str, reason: str) -> int:
    """Genuine but unreadable: stored with the reason so that the journal shows it. Sending it again would not help."""
    key = "rejected:" + hashlib.sha256(f"{name}\n{text}".encode(errors="surrogatepass")).hexdigest()
    _log.warning("notification rejected", pbx=hook.pbx_id, name=name, reason=reason)
    return _store_notification(hook, dialect, NotificationIdentity(name or "?", None, None, key), text, reason)


def _skip_notification(hook: Hook) -> int:
    """200 without an INSERT. A cached hook is looked up again, since only the INSERT would have checked it."""
    if hook.valid_until:
        raise _StaleHook
    return 200


def _refuse_notification(hook: Hook, reason: str) -> int:
    """403 for a wrong key, signature or dialect: counted on the PBX, nothing stored."""
    if hook.valid_until:
        raise _StaleHook
    now = utcnow()
    values = {"refused_count": Pbx.refused_count + 1}
    if hook.refused_count == 0:
        values["refused_since"] = now  # type: ignore[assignment]
    db.session.execute(update(Pbx).where(Pbx.id == hook.pbx_id).values(**values))
    db.session.commit()
    _log.warning("notification refused", pbx=hook.pbx_id, reason=reason)
    return 403
