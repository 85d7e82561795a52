"""The journal stays quick at a million calls: calls by employee, PBX, line and problem in their order; what was
rejected or lost.
"""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0007"
down_revision = "0006"

_PROBLEM = "problem IS NOT NULL OR lost OR state = 'dead'"
_LOST = "UPDATE call SET lost = true WHERE id IN (SELECT call_id FROM recording WHERE state = 'lost')"
_PEOPLE = """INSERT INTO call_person (call_id, user_id, portal_id, started_at)
SELECT id, user_id, portal_id, started_at FROM call WHERE user_id > 0
UNION SELECT id, responsible_id, portal_id, started_at FROM call WHERE responsible_id > 0
UNION SELECT call.id, CAST(one.value AS INTEGER), portal_id, started_at FROM call, {each} WHERE CAST(one.value AS INTEGER) > 0"""  # noqa: E501
_EACH = {"sqlite": "json_each(call.users) AS one", "postgresql": "jsonb_array_elements_text(call.users) AS one(value)"}
_PARTIAL = (
    ("ix_call_problem", "call", ["portal_id", "visible", "started_at", "id"], _PROBLEM),
    ("ix_notification_rejected", "notification", ["portal_id", "id"], "state = 'rejected'"),
    ("ix_recording_lost", "recording", ["portal_id", "id"], "state = 'lost'"),
)


def upgrade() -> None:
    op.add_column("call", sa.Column("lost", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(_LOST)
    op.create_table(
        "call_person",
        sa.Column("call_id", types.BigId, nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("started_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_call_person_call_id_call"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "user_id", name=op.f("pk_call_person")),
    )
    op.execute(_PEOPLE.format(each=_EACH[op.get_bind().dialect.name]))
    op.create_index("ix_call_person_latest", "call_person", ["portal_id", "user_id", "started_at", "call_id"])
    op.create_index("ix_call_pbx_latest", "call", ["portal_id", "pbx_key", "started_at", "id"])
    op.create_index("ix_call_line_latest", "call", ["portal_id", "line_number", "started_at", "id"])
    for name, table, columns, where in _PARTIAL:
        op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def downgrade() -> None:
    for name, table, _, _ in _PARTIAL:
        op.drop_index(name, table)
    op.drop_index("ix_call_line_latest", "call")
    op.drop_index("ix_call_pbx_latest", "call")
    op.drop_table("call_person")
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_column("lost")
