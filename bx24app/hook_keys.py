"""USE CASE: a fresh hook key for a PBX. The old one is good for a day more, so that nothing is lost while somebody pastes the new address."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import select, update

from bx24app.models import Audit, Pbx, db, utcnow

OVERLAP = timedelta(hours=24)
_BYTES = 24
"""192 bits: nobody guesses it, and it stays short enough to paste."""


def fresh() -> str:
    """A hook key that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def rotate(portal_id: int, key: str, shown: str, user_id: int | None, source: str = "frame") -> bool:
    """Give the PBX another hook key; the present one works for a day more. Commits.

    Args:
        shown: the hook key that whoever asks has seen. Where it is no longer the present one, somebody was quicker and nothing
            happens: a second press would otherwise end the address that Mango still uses.
        user_id: who asked, at the portal; None: the command line.
    """
    values = {"hook_key": fresh(), "old_hook_key": Pbx.hook_key, "old_hook_until": utcnow() + OVERLAP}
    where = (Pbx.portal_id == portal_id, Pbx.key == key, Pbx.hook_key == shown, Pbx.removed_at.is_(None))
    done: bool = db.session.execute(update(Pbx).where(*where).values(**values)).rowcount == 1  # type: ignore[attr-defined]
    if done:
        facts = {"pbx": key}  # never the keys
        db.session.add(Audit(portal_id=portal_id, user_id=user_id, source=source, what="hook key rotated", facts=facts))
    db.session.commit()
    return done


def end_overlaps() -> int:
    """Old hook keys whose day is over go; so many. They were refused before this already."""
    over = select(Pbx.id).where(Pbx.old_hook_key.is_not(None), Pbx.old_hook_until <= utcnow())
    values = {"old_hook_key": None, "old_hook_until": None}
    gone: int = db.session.execute(update(Pbx).where(Pbx.id.in_(over)).values(**values)).rowcount  # type: ignore[attr-defined]
    db.session.commit()
    return gone
