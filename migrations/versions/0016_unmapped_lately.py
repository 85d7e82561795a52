"""Whose extensions rang unmapped within the last week is found for all portals at once; made while others write."""

from bx24app.models import online_indexes

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    online_indexes.create_index(
        "ix_call_unmapped_lately", "call", ("started_at", "portal_id"), where="unmapped IS NOT NULL"
    )


def downgrade() -> None:
    online_indexes.drop_index("ix_call_unmapped_lately", "call")
