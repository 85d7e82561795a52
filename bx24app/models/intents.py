"""The table of intents: background work of a portal that somebody asked for, a row until it is done.

The row is written in the transaction that makes the work necessary. The queued job only makes it happen sooner:
`portals.intents` queues, carries out and queues again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column, scoped_session

from bx24app.models.base import Base, Moment, is_sqlite, utcnow

RING_AFTER = timedelta(seconds=60)
"""A job that was queued and has not begun after this time counts as lost: the sweep queues it again."""


class Intent(Base):
    """One job of `bx24app.jobs` that has still to be carried out for one portal."""

    __tablename__ = "intent"
    __table_args__ = (Index("ix_intent_due_at", "due_at"),)

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    job: Mapped[str] = mapped_column(primary_key=True)
    """lines, look, tell_dismissed, try_again."""
    asked_at: Mapped[datetime] = mapped_column(Moment)
    """When somebody asked last. A run that began earlier does not remove the row."""
    due_at: Mapped[datetime] = mapped_column(Moment)
    """When the sweep queues the job again."""
    user_id: Mapped[int | None]
    """The user of the portal who asked; None: nobody in person."""
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often the sweep has queued it."""
    owner: Mapped[str | None]
    """The worker that carries it out now; None: nobody."""


def add_intent(
    session: Session | scoped_session[Any],
    portal_id: int,
    job: str,
    *,
    delay: timedelta = timedelta(0),
    user_id: int | None = None,
) -> None:
    """Write that this job has to be carried out for the portal, `delay` from now. The caller commits.

    Asked for twice, it is one row, of the later wish.
    """
    now = utcnow()
    wish = {"asked_at": now, "due_at": now + delay + RING_AFTER, "user_id": user_id, "tries": 0}
    insert = sqlite.insert if is_sqlite() else postgresql.insert
    statement = insert(Intent).values(portal_id=portal_id, job=job, **wish)
    session.execute(statement.on_conflict_do_update(index_elements=["portal_id", "job"], set_=wish))
