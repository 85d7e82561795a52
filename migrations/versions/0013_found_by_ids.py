"""What is looked up by the id of a command or of a portal's call is found without reading the table; made while others
write.
"""

from bx24app.models import online_indexes

revision = "0013"
down_revision = "0012"

_MADE = (
    ("ix_notification_command", "notification", ("portal_id", "command_id"), "command_id IS NOT NULL"),
    ("ix_call_bitrix_call", "call", ("portal_id", "bitrix_call_id"), "bitrix_call_id IS NOT NULL"),
)


def upgrade() -> None:
    for name, table, columns, where in _MADE:
        online_indexes.create_index(name, table, columns, where)


def downgrade() -> None:
    for name, table, _, _ in _MADE:
        online_indexes.drop_index(name, table)
