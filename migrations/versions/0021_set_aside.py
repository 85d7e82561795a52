"""Rows on which the program failed are listed, so that the rows behind them go on and nothing is forgotten."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "set_aside",
        sa.Column("id", types.BigId, primary_key=True),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("row_id", types.BigId, nullable=False),
        sa.Column("entry_id", sa.String(), nullable=True),
        sa.Column("call_id", types.BigId, nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("at", types.Moment, nullable=False),
        sa.Column("due_at", types.Moment, nullable=True),
        sa.Column("is_waiting", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("kind", "row_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_set_aside_portal_id", "set_aside", ["portal_id", "id"])


def downgrade() -> None:
    op.drop_table("set_aside")
