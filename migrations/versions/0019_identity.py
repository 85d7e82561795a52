"""The database has an id of its own, and no row id is given twice.

Both are quick on tables of any size: SQLite's AUTOINCREMENT is a matter of the schema's text (`models.row_ids`), and
PostgreSQL's sequences never go back anyway. Versions before this one use Redis keys without the id; for an hour this
one does so too, because such processes may still run beside it.
"""

import secrets
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import context, op

from bx24app.models import base as types
from bx24app.models.row_ids import add_autoincrement, remove_autoincrement

revision = "0019"
down_revision = "0018"

_OVERLAP = timedelta(hours=1)


def upgrade() -> None:
    identity = op.create_table(
        "database_identity",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("made_at", types.Moment(), nullable=False),
        sa.Column("old_names_until", types.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_database_identity")),
    )
    is_upgrade = context.is_offline_mode() or op.get_bind().scalar(sa.text("SELECT count(*) FROM portal")) > 0
    now = datetime.now(UTC)
    until = now + _OVERLAP if is_upgrade else None
    row = {"row": 1, "value": secrets.token_hex(8), "made_at": now, "old_names_until": until}
    op.execute(identity.insert().values(**row))
    if op.get_context().dialect.name == "sqlite":
        add_autoincrement(op.get_bind())


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        remove_autoincrement(op.get_bind())
    op.drop_table("database_identity")
