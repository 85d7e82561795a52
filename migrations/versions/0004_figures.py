"""Statistics kept counted by day and month; what finds the days to count anew; calls back to a client in their order.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "figure",
        sa.Column("portal_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("grain", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("incoming", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("talk", sa.BigInteger(), nullable=False),
        sa.Column("waited", sa.Integer(), nullable=False),
        sa.Column("wait", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("portal_id", "grain", "kind", "day", "key", name=op.f("pk_figure")),
    )
    op.create_table(
        "figure_mark",
        sa.Column("portal_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", types.Moment(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_figure_mark")),
    )
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_index("ix_call_portal_client")
        batch_op.create_index("ix_call_portal_client", ["portal_id", "client_number", "started_at"], unique=False)
        batch_op.create_index("ix_call_updated_at", ["updated_at"], unique=False)
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.create_index(
            "ix_recording_attached_at",
            ["attached_at"],
            unique=False,
            postgresql_where=sa.text("attached_at IS NOT NULL"),
            sqlite_where=sa.text("attached_at IS NOT NULL"),
        )


def downgrade() -> None:
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_recording_attached_at",
            postgresql_where=sa.text("attached_at IS NOT NULL"),
            sqlite_where=sa.text("attached_at IS NOT NULL"),
        )
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_index("ix_call_updated_at")
        batch_op.drop_index("ix_call_portal_client")
        batch_op.create_index("ix_call_portal_client", ["portal_id", "client_number"], unique=False)
    op.drop_table("figure_mark")
    op.drop_table("figure")
