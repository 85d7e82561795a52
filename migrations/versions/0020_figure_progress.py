"""Statistics are counted in passes that need no end: how far each portal is.

Older versions beside this one count by `at` and `zone` alone, and set both.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0020"
down_revision = "0019"

_COLUMNS = {"changed_at": types.Moment, "tried_at": types.Moment, "began_at": types.Moment, "day": sa.Date()}


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        op.add_column("figure_mark", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("figure_mark", name)
