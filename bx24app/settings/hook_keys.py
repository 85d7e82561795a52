"""Hook keys of PBXs: generated, looked up, and rotated from a page.

After a rotation the old key works for another day, so that no notification is lost before the new address is entered at
Mango Office.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, or_, select, update

from bx24app.domain.bounds import MAX_NAME, clean_text
from bx24app.models import Moment, Pbx, audit, db, hash_hook_key, portal_loop, utcnow

OVERLAP = timedelta(hours=24)
_KEY_BYTES = 24
"""192 bits: impossible to guess, and short enough to paste."""


def generate_key() -> str:
    """A random hook key."""
    return secrets.token_urlsafe(_KEY_BYTES)


def rotate(portal_id: int, key: str, shown: str, user_id: int | None, source: str = "frame") -> bool:
    """Give the PBX another hook key; the present one works for another day. Commits. Returns whether it was rotated.

    Args:
        shown: the hook key on the user's page. Nothing happens if it is no longer the present one: a second press would
        otherwise end
            the address that Mango still uses.
        user_id: the user at the portal; None: the command line.
    """
    query = select(Pbx).where(Pbx.portal_id == portal_id, Pbx.key == key, Pbx.removed_at.is_(None))
    row = db.session.scalars(query.with_for_update().execution_options(populate_existing=True)).first()
    is_current = row is not None and row.hook_key == shown
    if row is not None and is_current:
        row.old_hook_key, row.old_hook_until = shown, utcnow() + OVERLAP
        row.hook_key = generate_key()
        audit.record(portal_id, user_id, source, "hook key rotated", pbx=key)  # never the hook keys
    db.session.commit()
    return is_current


def key_condition() -> ColumnElement[bool]:
    """SQL condition: the PBX has this hook key, as its present one or as its old one within the overlap.

    Bind with `key_params`.
    """
    digest, now = bindparam("hook_hash", type_=String), bindparam("now", type_=Moment)
    key = bindparam("hook_key", type_=String)
    # Versions before 0014 wrote plain keys, and may still do so beside this one. The digest that replaces them later
    # matches no key.
    plain = or_(Pbx.hook_hash.is_(None), Pbx.plain_until.is_not(None))
    old = or_(Pbx.old_hook_hash == digest, and_(Pbx.plain_old_hook_key == key, plain))
    return or_(Pbx.hook_hash == digest, and_(old, Pbx.old_hook_until > now), and_(Pbx.plain_hook_key == key, plain))


def key_params(hook_key: str) -> dict[str, Any]:
    """The values of `key_condition` for this hook key. Characters that PostgreSQL cannot take are in no key of ours."""
    plain = clean_text(hook_key, MAX_NAME)
    return {"hook_hash": hash_hook_key(hook_key), "hook_key": plain, "now": utcnow()}


def hide_plain_keys() -> None:
    """Encrypt the hook keys that a version before 0014 wrote.

    A day later, when none of its processes runs, delete the plain ones.
    """
    query = select(Pbx.id).where(or_(Pbx.hook_hash.is_(None), Pbx.plain_until.is_not(None)))
    ids = list(db.session.scalars(query.order_by(Pbx.id)))
    db.session.rollback()
    portal_loop.for_each("hook_keys", ids, _hide_plain_key)


def _hide_plain_key(pbx_id: int) -> None:
    now, row = utcnow(), db.session.get_one(Pbx, pbx_id)
    plain, old = row.plain_hook_key, row.plain_old_hook_key
    row.plain_until = row.plain_until or now + OVERLAP
    if plain not in (row.hook_sealed, row.old_hook_sealed):  # an older version wrote it meanwhile
        row.hook_key = plain
    if old is not None and old != row.old_hook_sealed:
        row.old_hook_key, row.plain_old_hook_key = old, old
    if row.plain_until <= now:
        row.plain_hook_key, row.plain_old_hook_key, row.plain_until = hash_hook_key(row.hook_key), None, None
    db.session.commit()


def end_overlaps() -> int:
    """Delete old hook keys whose overlap is over, and return their number. They are refused already before that."""
    none = {"old_hook_sealed": None, "old_hook_hash": None, "plain_old_hook_key": None, "old_hook_until": None}
    ended = db.session.execute(update(Pbx).where(Pbx.old_hook_until <= utcnow()).values(**none))
    db.session.commit()
    return int(ended.rowcount)  # type: ignore[attr-defined]
