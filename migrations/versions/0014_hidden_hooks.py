"""Hook keys are found by their digest and sealed.

The plain ones stay for processes of older versions that run beside, and go a day later.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0014"
down_revision = "0013"

_NEW = ("hook_sealed", "hook_hash", "old_hook_sealed", "old_hook_hash", "plain_until")


def upgrade() -> None:
    for name in ("hook", "old_hook"):
        op.add_column("pbx", sa.Column(f"{name}_sealed", sa.LargeBinary(), nullable=True))
        op.add_column("pbx", sa.Column(f"{name}_hash", sa.String(), nullable=True))
        op.create_index(f"ix_pbx_{name}_hash", "pbx", [f"{name}_hash"], unique=True)
    op.add_column("pbx", sa.Column("plain_until", types.Moment, nullable=True))


def downgrade() -> None:
    """Only while the plain keys are there: what is a digest by now leads nowhere, and each PBX wants a fresh address.
    """
    for name in ("hook", "old_hook"):
        op.drop_index(f"ix_pbx_{name}_hash", table_name="pbx")
    for name in _NEW:
        op.drop_column("pbx", name)
