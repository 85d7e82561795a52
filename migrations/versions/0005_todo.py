"""To-dos of missed calls, by client; whose working day is open."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "todo",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("client_number", sa.String(), nullable=False),
        sa.Column("call_id", types.BigId, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("activity_id", sa.Integer(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=True),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("missed_at", types.Moment(), nullable=False),
        sa.Column("deadline_at", types.Moment(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_todo_call_id_call"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_todo")),
        sa.UniqueConstraint("call_id", "key", name=op.f("uq_todo_call_id_key")),
    )
    only = sa.text("state = 'open'")
    op.create_index("ix_todo_open", "todo", ["portal_id", "client_number"], postgresql_where=only, sqlite_where=only)
    op.create_index("ix_todo_activity", "todo", ["portal_id", "activity_id"])
    op.add_column("portal_user", sa.Column("day", sa.String(), nullable=True))
    op.add_column("portal_user", sa.Column("day_at", types.Moment(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("portal_user", schema=None) as batch_op:
        batch_op.drop_column("day_at")
        batch_op.drop_column("day")
    op.drop_table("todo")
