"""Leases have living owners: worker processes beat, and what a worker has in hand carries its name."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0022"
down_revision = "0021"

_COLUMNS = (
    ("delivery", "owner", sa.String()),
    ("delivery", "lost_at", types.Moment()),
    ("recording", "owner", sa.String()),
)


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("beats", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("started_at", types.Moment, nullable=False),
        sa.Column("beat_at", types.Moment, nullable=False),
        if_not_exists=True,  # committed by the block below, so an interrupted start finds it
    )
    if op.get_context().dialect.name != "postgresql":
        _add_columns()
        return
    # Each statement is a transaction of its own: locks on two tables at once could meet a drain's in the other order.
    with op.get_context().autocommit_block():
        _add_columns(if_not_exists=True)


def downgrade() -> None:
    op.drop_table("worker")
    for table, name, _ in _COLUMNS:
        op.drop_column(table, name)


def _add_columns(**options: bool) -> None:
    for table, name, kind in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True), **options)
