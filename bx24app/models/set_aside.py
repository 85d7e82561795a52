"""The table of rows that were set aside: work on them raised an error of their own, and the rows behind them go on.

`calls.set_aside` writes it and tries the rows again. A row of it names another one by kind and id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, BigId, Moment, utcnow

RowKind = Literal["notification", "call", "delivery", "recording"]


class SetAside(Base):
    """One row on which the program failed."""

    __tablename__ = "set_aside"
    __table_args__ = (UniqueConstraint("kind", "row_id"), Index("ix_set_aside_portal_id", "portal_id", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    kind: Mapped[str]
    """notification, call, delivery, recording: the table of `row_id`."""
    row_id: Mapped[int] = mapped_column(BigId)
    entry_id: Mapped[str | None]
    call_id: Mapped[int | None] = mapped_column(BigId)
    """The call that the row belongs to; None: it has none yet."""
    reason: Mapped[str]
    """What was raised and where, without values of the row."""
    version: Mapped[str]
    """The version of the program that failed."""
    tries: Mapped[int] = mapped_column(default=1, server_default="1")
    at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    """When it failed last, or was given back to be tried again."""
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """When it is tried again by itself; None: when a person asks, or after an upgrade."""
    is_waiting: Mapped[bool] = mapped_column(default=False, server_default=false())
    """It was given back and has not failed again so far."""
