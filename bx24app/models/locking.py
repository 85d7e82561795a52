"""The portal's lock: one transaction at a time decides for a portal, over all processes and machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session, defer

from bx24app.models import Portal, db
from bx24app.models.base import is_sqlite

_DEFERRED_COLUMNS = (defer(Portal.application_token),)
"""Nobody needs it here, and decrypting it takes time."""


@contextmanager
def portal_lock(portal_id: int) -> Iterator[tuple[Session, Portal | None]]:
    """A transaction in which nobody else decides for this portal: its session and the portal, None if there is no such
    portal.

    It is committed at the end, or rolled back after an exception.
    """
    session = db.session()
    try:
        if not is_sqlite():
            # 0xB24: our namespace among advisory locks; SQLite has one writer anyway (BEGIN IMMEDIATE).
            session.execute(text("SELECT pg_advisory_xact_lock(2852, :portal)"), {"portal": portal_id})
        yield session, session.get(Portal, portal_id, options=_DEFERRED_COLUMNS)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        db.session.remove()
