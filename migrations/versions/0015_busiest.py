"""Who has the most calls of a year is read from an index alone; made while others write."""

from bx24app.models import online_indexes

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    online_indexes.create_index("ix_figure_calls", "figure", ("portal_id", "grain", "kind", "day", "key", "calls"))


def downgrade() -> None:
    online_indexes.drop_index("ix_figure_calls", "figure")
