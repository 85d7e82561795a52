"""When a portal was heard of last: one that vanished without an event is cleaned up after its time, counted from now
on.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("portal", sa.Column("answered_at", types.Moment, nullable=True))
    portal = sa.table("portal", sa.column("answered_at", types.Moment))
    op.execute(portal.update().values(answered_at=types.utcnow()))


def downgrade() -> None:
    op.drop_column("portal", "answered_at")
