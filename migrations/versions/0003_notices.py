"""Notices that administrators were given; calls of extensions that are nobody's, found without reading the others."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0003"
down_revision = "0002"

_SQLITE = """UPDATE call SET unmapped = (SELECT group_concat(value, ',') FROM json_each(call.facts, '$.unmapped'))
WHERE json_array_length(facts, '$.unmapped') > 0"""
_POSTGRESQL = """UPDATE call SET unmapped = (SELECT string_agg(value, ',') FROM jsonb_array_elements_text(facts -> 'unmapped'))
WHERE jsonb_typeof(facts -> 'unmapped') = 'array' AND facts -> 'unmapped' <> '[]'"""  # noqa: E501


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("over", sa.String(), nullable=False),
        sa.Column("told_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_notice_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "key", name=op.f("pk_notice")),
    )
    op.add_column("call", sa.Column("unmapped", sa.String(), nullable=True))
    op.execute(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL)
    op.create_index(
        "ix_call_unmapped",
        "call",
        ["portal_id", "started_at"],
        postgresql_where=sa.text("unmapped IS NOT NULL"),
        sqlite_where=sa.text("unmapped IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_call_unmapped", "call")
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_column("unmapped")
    op.drop_table("notice")
