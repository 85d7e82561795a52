"""Back-fills: a chosen period of one PBX, told to the portal afterwards."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, Moment, utcnow


class Backfill(Base):
    """One period of one PBX. It goes on where it was left: `done_until` is committed after each stretch."""

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
    """Everything before is told, or was there."""
    records: Mapped[bool] = mapped_column(default=False)
    """May calls older than a day make CRM records?"""
    state: Mapped[str] = mapped_column(default="running")
    """running, done, stopped (by a person, or by what only an administrator can mend: see `problem`)."""
    seen: Mapped[int] = mapped_column(default=0)
    """Calls that the PBX's statistics hold."""
    made: Mapped[int] = mapped_column(default=0)
    """Calls told to the portal."""
    skipped: Mapped[int] = mapped_column(default=0)
    """Calls that the portal had from somebody else: the same number and direction within a minute."""
    problem: Mapped[str | None]
    failures: Mapped[int] = mapped_column(default=0)
    """In a row."""
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """When a lost job is rung for again; None: over."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=utcnow, onupdate=utcnow)
