"""What is known of a PBX's statistics: when they were asked for, up to where they were compared, what was found; and
back-fills.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0008"
down_revision = "0007"

_MOMENTS = ("asked_at", "ask_at", "read_until", "lost_at")


def upgrade() -> None:
    for name in _MOMENTS:
        op.add_column("pbx", sa.Column(name, types.Moment, nullable=True))
    op.add_column("pbx", sa.Column("ask_failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("pbx", sa.Column("ask_problem", sa.String(), nullable=True))
    op.add_column("pbx", sa.Column("lost_found", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "backfill",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("pbx_id", sa.Integer(), nullable=False),
        sa.Column("start", types.Moment, nullable=False),
        sa.Column("end", types.Moment, nullable=False),
        sa.Column("done_until", types.Moment, nullable=False),
        sa.Column("records", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due_at", types.Moment, nullable=True),
        sa.Column("created_at", types.Moment, nullable=False),
        sa.Column("updated_at", types.Moment, nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["pbx_id"], ["pbx.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_backfill_portal_id", "backfill", ["portal_id", "id"])
    op.create_index(
        "ix_backfill_due_at",
        "backfill",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("backfill")
    for name in (*_MOMENTS, "ask_failures", "ask_problem", "lost_found"):
        op.drop_column("pbx", name)
