"""Open calls are found without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    only = sa.text("state = 'open'")
    op.create_index("ix_call_open", "call", ["heard_at"], postgresql_where=only, sqlite_where=only)


def downgrade() -> None:
    op.drop_index("ix_call_open", "call")
