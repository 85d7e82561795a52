"""The audit log only grows."""

from alembic import op

from bx24app.models import append_only

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for statement in append_only.MAKE[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in append_only.DROP[op.get_bind().dialect.name]:
        op.execute(statement)
