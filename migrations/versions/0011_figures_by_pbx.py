"""Statistics of one PBX: what is kept counted is counted anew, with a part for each PBX."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("DELETE FROM figure_mark")


def downgrade() -> None:
    op.execute("DELETE FROM figure WHERE kind LIKE '%@%'")
