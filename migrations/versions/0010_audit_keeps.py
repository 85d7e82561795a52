"""The audit log only grows."""

from alembic import op

from bx24app.models import append_only

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for statement in append_only.CREATE_STATEMENTS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in append_only.DROP_STATEMENTS[op.get_bind().dialect.name]:
        op.execute(statement)
