"""What a portal's CRM offers to choose from."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "dictionary",
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("content", types.Document, nullable=False),
        sa.Column("read_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_dictionary_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_dictionary")),
    )


def downgrade() -> None:
    op.drop_table("dictionary")
