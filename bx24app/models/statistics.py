"""Tables of the statistics: calls counted by day, and by month once a month is over.

Counted from the calls, and again when calls change.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Index
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, Moment


class Figure(Base):
    """One count of one day or month. What `key` is depends on `kind` (see `domain.statistics.add_count`)."""

    __tablename__ = "figure"
    # The primary key and one count: the busiest employees of a year are found in the index alone.
    __table_args__ = (Index("ix_figure_calls", "portal_id", "grain", "kind", "day", "key", "calls"),)

    portal_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    grain: Mapped[str] = mapped_column(primary_key=True)
    """day, month (only kinds line and person, of months that are over)."""
    kind: Mapped[str] = mapped_column(primary_key=True)
    """hour, line, person, wait, lag, back, missed; all but line also of one PBX (`domain.statistics.kind_for_pbx`)."""
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    """The day, or the first one of the month, in the portal's time zone."""
    key: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(default=0)
    incoming: Mapped[int] = mapped_column(default=0)
    answered: Mapped[int] = mapped_column(default=0)
    missed: Mapped[int] = mapped_column(default=0)
    talk: Mapped[int] = mapped_column(BigInteger, default=0)
    """Seconds."""
    waited: Mapped[int] = mapped_column(default=0)
    """Incoming calls that were answered."""
    wait: Mapped[int] = mapped_column(BigInteger, default=0)
    """Seconds until those were answered."""


class FigureMark(Base):
    """How far the counting is: every change before `at` is counted.

    Portal 0: every change before `at` is in the portals' `changed_at`.
    """

    __tablename__ = "figure_mark"

    portal_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Moment)
    zone: Mapped[str] = mapped_column(default="")
    """The time zone that separates its days."""
    changed_at: Mapped[datetime | None] = mapped_column(Moment)
    """When a change was last noted; later than `at`: something is not counted yet."""
    tried_at: Mapped[datetime | None] = mapped_column(Moment)
    """When it last had its turn."""
    began_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the pass began that is not done yet; `at` once it is."""
    day: Mapped[date | None] = mapped_column(Date)
    """The last day that this pass has counted."""
