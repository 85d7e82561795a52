"""Ids of Mango's employees and groups are stored with the mapping, and the zone in which a PBX reads its statistics."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "pbx_member",
        sa.Column("pbx_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("extension", sa.String(), nullable=False),
        sa.Column("mango_id", sa.String(), nullable=False),
        sa.Column("seen_at", types.Moment, nullable=False),
        sa.ForeignKeyConstraint(["pbx_id"], ["pbx.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pbx_id", "kind", "extension"),
        if_not_exists=True,  # committed by the block below, so an interrupted start finds it
    )
    if op.get_context().dialect.name != "postgresql":
        op.add_column("pbx", sa.Column("statistics_zone", sa.String(), nullable=True))
        return
    with op.get_context().autocommit_block():  # no lock on two tables at once
        op.add_column("pbx", sa.Column("statistics_zone", sa.String(), nullable=True), if_not_exists=True)


def downgrade() -> None:
    op.drop_column("pbx", "statistics_zone")
    op.drop_table("pbx_member")
