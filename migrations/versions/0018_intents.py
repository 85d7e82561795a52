"""Background work that somebody asked for is a row until it is done."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "intent",
        sa.Column("portal_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("job", sa.String(), primary_key=True),
        sa.Column("asked_at", types.Moment, nullable=False),
        sa.Column("due_at", types.Moment, nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("owner", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_intent_due_at", "intent", ["due_at"])


def downgrade() -> None:
    op.drop_table("intent")
