"""The table of the ids under which Mango's statistics name employees and groups, stored beside the mapping.

`portals.pbx_members` writes it whenever employees are read, and reads it where statistics name somebody by id.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, Moment, utcnow


class PbxMember(Base):
    """Whose an extension was when the PBX last listed it. An extension that is no longer listed keeps its last owner.

    So a former extension of a renumbered employee is still known, until it is somebody else's.
    """

    __tablename__ = "pbx_member"

    pbx_id: Mapped[int] = mapped_column(ForeignKey("pbx.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    """user, group."""
    extension: Mapped[str] = mapped_column(primary_key=True)
    mango_id: Mapped[str]
    """`general.user_id` of the employee, or the group's id."""
    seen_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    """When this owner was first seen with it, or came back to it."""
