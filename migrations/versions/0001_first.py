"""The first tables."""

import sqlalchemy as sa
from alembic import op

from bx24app.models import base as types

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=True),
        sa.Column("at", types.Moment(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("facts", types.Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_portal_id_at", ["portal_id", "at"], unique=False)

    op.create_table(
        "call",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("pbx_id", sa.Integer(), nullable=False),
        sa.Column("pbx_key", sa.String(), nullable=False),
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("command_id", sa.String(), nullable=True),
        sa.Column("settings_version_id", sa.Integer(), nullable=True),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("line_number", sa.String(), nullable=True),
        sa.Column("client_number", sa.String(), nullable=True),
        sa.Column("started_at", types.Moment(), nullable=False),
        sa.Column("answered_at", types.Moment(), nullable=True),
        sa.Column("ended_at", types.Moment(), nullable=True),
        sa.Column("talk_seconds", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("users", types.Document, nullable=False),
        sa.Column("responsible_id", sa.Integer(), nullable=True),
        sa.Column("bitrix_call_id", sa.String(), nullable=True),
        sa.Column("crm", types.Document, nullable=False),
        sa.Column("activity_id", sa.Integer(), nullable=True),
        sa.Column("continues", sa.String(), nullable=True),
        sa.Column("rule", sa.String(), nullable=True),
        sa.Column("facts", types.Document, nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("due_at", types.Moment(), nullable=True),
        sa.Column("heard_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
        sa.UniqueConstraint("pbx_id", "entry_id", name=op.f("uq_call_pbx_id_entry_id")),
    )
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.create_index(
            "ix_call_command",
            ["portal_id", "command_id"],
            unique=False,
            postgresql_where=sa.text("command_id IS NOT NULL"),
            sqlite_where=sa.text("command_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_call_due",
            ["portal_id", "due_at"],
            unique=False,
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_call_portal_client", ["portal_id", "client_number"], unique=False)
        batch_op.create_index("ix_call_portal_started", ["portal_id", "started_at", "id"], unique=False)

    op.create_table(
        "notification",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("pbx_id", sa.Integer(), nullable=False),
        sa.Column("dialect", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("entry_id", sa.String(), nullable=True),
        sa.Column("command_id", sa.String(), nullable=True),
        sa.Column("dedup_key", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("received_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint(
            "portal_id", "pbx_id", "dedup_key", name=op.f("uq_notification_portal_id_pbx_id_dedup_key")
        ),
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index("ix_notification_entry", ["portal_id", "pbx_id", "entry_id"], unique=False)
        batch_op.create_index(
            "ix_notification_new",
            ["portal_id", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'new'"),
            sqlite_where=sa.text("state = 'new'"),
        )
        batch_op.create_index("ix_notification_received_at", ["received_at"], unique=False)

    op.create_table(
        "portal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("client_endpoint", sa.String(), nullable=False),
        sa.Column("server_endpoint", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("application_token", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_before", sa.String(), nullable=True),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.Column("trouble_at", types.Moment(), nullable=True),
        sa.Column("probe_at", types.Moment(), nullable=True),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("license", sa.String(), nullable=False),
        sa.Column("crm_mode", sa.Integer(), nullable=False),
        sa.Column("looked_at", types.Moment(), nullable=True),
        sa.Column("lang", sa.String(), nullable=False),
        sa.Column("settings_version_id", sa.Integer(), nullable=True),
        sa.Column("installed_at", types.Moment(), nullable=False),
        sa.Column("installed_by", sa.Integer(), nullable=True),
        sa.Column("removed_at", types.Moment(), nullable=True),
        sa.Column("purge_at", types.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portal")),
        sa.UniqueConstraint("member_id", name=op.f("uq_portal_member_id")),
    )
    with op.batch_alter_table("portal", schema=None) as batch_op:
        batch_op.create_index("ix_portal_probe_at", ["probe_at"], unique=False)

    op.create_table(
        "registration",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_registration")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("call_id", types.BigId, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("command", types.Document, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", types.Moment(), nullable=True),
        sa.Column("sent_at", types.Moment(), nullable=True),
        sa.Column("done_at", types.Moment(), nullable=True),
        sa.Column("answer", types.Document, nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_delivery_call_id_call"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("call_id", "key", name=op.f("uq_delivery_call_id_key")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_dead",
            ["portal_id", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'dead'"),
            sqlite_where=sa.text("state = 'dead'"),
        )
        batch_op.create_index(
            "ix_delivery_open",
            ["portal_id", "call_id", "id"],
            unique=False,
            postgresql_where=sa.text("state IN ('waiting', 'sent')"),
            sqlite_where=sa.text("state IN ('waiting', 'sent')"),
        )

    op.create_table(
        "grant",
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("access_token", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", types.Moment(), nullable=False),
        sa.Column("refreshed_at", types.Moment(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_grant_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_grant")),
    )
    op.create_table(
        "line_counter",
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("picks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_line_counter_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "line", name=op.f("pk_line_counter")),
    )
    op.create_table(
        "pbx",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("hook_key", sa.String(), nullable=False),
        sa.Column("old_hook_key", sa.String(), nullable=True),
        sa.Column("old_hook_until", types.Moment(), nullable=True),
        sa.Column("dialects", sa.String(), nullable=False),
        sa.Column("api_key", sa.LargeBinary(), nullable=True),
        sa.Column("api_salt", sa.LargeBinary(), nullable=True),
        sa.Column("removed_at", types.Moment(), nullable=True),
        sa.Column("last_notification_at", types.Moment(), nullable=True),
        sa.Column("refused_count", sa.Integer(), nullable=False),
        sa.Column("refused_since", types.Moment(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_pbx_portal_id_portal"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pbx")),
        sa.UniqueConstraint("hook_key", name=op.f("uq_pbx_hook_key")),
        sa.UniqueConstraint("old_hook_key", name=op.f("uq_pbx_old_hook_key")),
        sa.UniqueConstraint("portal_id", "key", name=op.f("uq_pbx_portal_id_key")),
    )
    op.create_table(
        "portal_user",
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("inner_number", sa.String(), nullable=False),
        sa.Column("phones", types.Document, nullable=False),
        sa.Column("seen_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_portal_user_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "user_id", name=op.f("pk_portal_user")),
    )
    op.create_table(
        "recording",
        sa.Column("id", types.BigId, nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("call_id", types.BigId, nullable=False),
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("bitrix_call_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("noticed_at", types.Moment(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", types.Moment(), nullable=True),
        sa.Column("claimed_at", types.Moment(), nullable=True),
        sa.Column("attempted", sa.Boolean(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=True),
        sa.Column("file_id", sa.Integer(), nullable=True),
        sa.Column("attached_at", types.Moment(), nullable=True),
        sa.Column("lag_seconds", sa.Double(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_recording_call_id_call"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording")),
        sa.UniqueConstraint("call_id", "recording_id", name=op.f("uq_recording_call_id_recording_id")),
    )
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.create_index(
            "ix_recording_due",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_recording_portal_id", ["portal_id", "id"], unique=False)

    op.create_table(
        "settings_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", types.Document, nullable=False),
        sa.Column("author", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_settings_version_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_version")),
        sa.UniqueConstraint("portal_id", "number", name=op.f("uq_settings_version_portal_id_number")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("settings_version")
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.drop_index("ix_recording_portal_id")
        batch_op.drop_index(
            "ix_recording_due",
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        )

    op.drop_table("recording")
    op.drop_table("portal_user")
    op.drop_table("pbx")
    op.drop_table("line_counter")
    op.drop_table("grant")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_open",
            postgresql_where=sa.text("state IN ('waiting', 'sent')"),
            sqlite_where=sa.text("state IN ('waiting', 'sent')"),
        )
        batch_op.drop_index(
            "ix_delivery_dead", postgresql_where=sa.text("state = 'dead'"), sqlite_where=sa.text("state = 'dead'")
        )

    op.drop_table("delivery")
    op.drop_table("registration")
    with op.batch_alter_table("portal", schema=None) as batch_op:
        batch_op.drop_index("ix_portal_probe_at")

    op.drop_table("portal")
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_index("ix_notification_received_at")
        batch_op.drop_index(
            "ix_notification_new", postgresql_where=sa.text("state = 'new'"), sqlite_where=sa.text("state = 'new'")
        )
        batch_op.drop_index("ix_notification_entry")

    op.drop_table("notification")
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_index("ix_call_portal_started")
        batch_op.drop_index("ix_call_portal_client")
        batch_op.drop_index(
            "ix_call_due", postgresql_where=sa.text("due_at IS NOT NULL"), sqlite_where=sa.text("due_at IS NOT NULL")
        )
        batch_op.drop_index(
            "ix_call_command",
            postgresql_where=sa.text("command_id IS NOT NULL"),
            sqlite_where=sa.text("command_id IS NOT NULL"),
        )

    op.drop_table("call")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_portal_id_at")

    op.drop_table("audit")
