"""The table of worker processes: who lives, for all machines.

`calls.leases.heartbeat` writes and reads it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, Moment


class WorkerProcess(Base):
    """One worker process that lives, or has died and was not noticed yet."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    """`infra.leases.worker_name`; rows that it has in hand carry it as `owner`."""
    beats: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counts every 5 s. Others compare the count, not a time, so that no clock has to be right."""
    started_at: Mapped[datetime] = mapped_column(Moment)
    beat_at: Mapped[datetime] = mapped_column(Moment)
    """When it counted last, by its own clock; for people."""
