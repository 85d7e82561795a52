"""Calls by the records of the CRM that they belong to."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0009"
down_revision = "0008"

_BACKFILL = {
    "sqlite": """
        INSERT OR IGNORE INTO call_record (portal_id, entity, record_id, call_id)
        SELECT call.portal_id, json_extract(one.value, '$.entity'), json_extract(one.value, '$.id'), call.id
        FROM call, json_each(call.crm) AS one""",
    "postgresql": """
        INSERT INTO call_record (portal_id, entity, record_id, call_id)
        SELECT call.portal_id, one.value ->> 'entity', (one.value ->> 'id')::integer, call.id
        FROM call, jsonb_array_elements(call.crm) AS one ON CONFLICT DO NOTHING""",
}


def upgrade() -> None:
    op.create_table(
        "call_record",
        sa.Column("portal_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("record_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("call_id", types.BigId, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_call_record_call_id_call"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("portal_id", "entity", "record_id", "call_id", name=op.f("pk_call_record")),
    )
    op.create_index("ix_call_record_call_id", "call_record", ["call_id"])
    op.execute(_BACKFILL[op.get_bind().dialect.name])


def downgrade() -> None:
    op.drop_table("call_record")
