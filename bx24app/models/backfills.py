"""Backfills: a chosen past period of one PBX, whose calls are sent to the portal afterwards
(`calls.reconciliation.backfill`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, Moment, utcnow


class Backfill(Base):
    """One period of one PBX.

    After an interruption it continues from `done_until`, which is committed after each part.
    """

    __tablename__ = "backfill"
    __table_args__ = (
        Index("ix_backfill_portal_id", "portal_id", "id"),
        Index(
            "ix_backfill_due_at",
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
            sqlite_where=text("due_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    pbx_id: Mapped[int] = mapped_column(ForeignKey("pbx.id", ondelete="CASCADE"))
    start: Mapped[datetime] = mapped_column(Moment)
    end: Mapped[datetime] = mapped_column(Moment)
    done_until: Mapped[datetime] = mapped_column(Moment)
    """Every call before this moment is in the portal."""
    records: Mapped[bool] = mapped_column(default=False)
    """May calls older than a day create CRM records?"""
    state: Mapped[str] = mapped_column(default="running")
    """running, done, stopped (by a person, or by a problem that only an administrator can fix: see `problem`)."""
    seen: Mapped[int] = mapped_column(default=0)
    """Calls in the PBX's statistics."""
    made: Mapped[int] = mapped_column(default=0)
    """Calls sent to the portal."""
    skipped: Mapped[int] = mapped_column(default=0)
    """Calls that the portal had from another application: the same number and direction within a minute."""
    problem: Mapped[str | None]
    failures: Mapped[int] = mapped_column(default=0)
    """Failures in a row."""
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the periodic job queues the next step again, in case it was lost; None: the backfill is over."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=utcnow, onupdate=utcnow)
