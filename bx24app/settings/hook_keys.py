"""USE CASE: a fresh hook key for a PBX. The old one is good for a day more, so that nothing is lost while somebody pastes the new address."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, or_, select

from bx24app.models import Moment, Pbx, audit, db, hash_hook_key, utcnow

OVERLAP = timedelta(hours=24)
_KEY_BYTES = 24
"""192 bits: nobody guesses it, and it stays short enough to paste."""


def generate_key() -> str:
    """A hook key that nobody can guess."""
    return secrets.token_urlsafe(_KEY_BYTES)


def rotate(portal_id: int, key: str, shown: str, user_id: int | None, source: str = "frame") -> bool:
    """Give the PBX another hook key; the present one works for a day more. Commits.

    Args:
        shown: the hook key that whoever asks has seen. Where it is no longer the present one, somebody was quicker and nothing
            happens: a second press would otherwise end the address that Mango still uses.
        user_id: who asked, at the portal; None: the command line.
    """
    mine = select(Pbx).where(Pbx.portal_id == portal_id, Pbx.key == key, Pbx.removed_at.is_(None))
    row = db.session.scalars(mine.with_for_update().execution_options(populate_existing=True)).first()
    done = row is not None and row.hook_key == shown
    if row is not None and done:
        row.old_hook_key, row.old_hook_until = shown, utcnow() + OVERLAP
        row.hook_key = generate_key()
        facts = {"pbx": key}  # never the keys
        audit.record(portal_id, user_id, source, "hook key rotated", **facts)
    db.session.commit()
    return done


def key_condition() -> ColumnElement[bool]:
    """The condition of a PBX that a hook key leads to, its present one or the one before within the overlap; `asked` fills it."""
    found, now = bindparam("hook_hash", type_=String), bindparam("now", type_=Moment)
    key = bindparam("hook_key", type_=String)
    # What versions before 0014 wrote, and may still write beside us. A digest, as stands there later, leads nowhere.
    plain = or_(Pbx.hook_hash.is_(None), Pbx.plain_until.is_not(None))
    old = or_(Pbx.old_hook_hash == found, and_(Pbx.plain_old_hook_key == key, plain))
    return or_(Pbx.hook_hash == found, and_(old, Pbx.old_hook_until > now), and_(Pbx.plain_hook_key == key, plain))


def key_params(hook_key: str) -> dict[str, Any]:
    """The values of `is_of` for this hook key."""
    return {"hook_hash": hash_hook_key(hook_key), "hook_key": hook_key, "now": utcnow()}


def hide_plain_keys() -> None:
    """Hook keys that a version before 0014 wrote are sealed; a day later, when none of its processes runs any more, the plain ones go."""
    now = utcnow()
    for row in db.session.scalars(select(Pbx).where(or_(Pbx.hook_hash.is_(None), Pbx.plain_until.is_not(None)))):
        plain, old = row.plain_hook_key, row.plain_old_hook_key
        row.plain_until = row.plain_until or now + OVERLAP
        if plain not in (row.hook_sealed, row.old_hook_sealed):  # written beside us since
            row.hook_key = plain
        if old is not None and old != row.old_hook_sealed:
            row.old_hook_key, row.plain_old_hook_key = old, old
        if row.plain_until <= now:
            row.plain_hook_key, row.plain_old_hook_key, row.plain_until = hash_hook_key(row.hook_key), None, None
    db.session.commit()


def end_overlaps() -> int:
    """Old hook keys whose day is over go; so many. They were refused before this already."""
    over = db.session.scalars(select(Pbx).where(Pbx.old_hook_until <= utcnow())).all()
    for row in over:
        row.old_hook_key = row.old_hook_until = None
    db.session.commit()
    return len(over)
