"""Triggers that make the audit log append-only: the database itself refuses to change or delete a row, whoever asks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, event, text

MESSAGE = "the audit log only grows"
_SQLITE = [
    f"CREATE TRIGGER audit_keeps_{verb} BEFORE {verb.upper()} ON audit BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
    for verb in ("update", "delete")
]
_POSTGRESQL = [
    f"CREATE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{MESSAGE}'; END $$",
    "CREATE TRIGGER audit_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_keeps()",
]
CREATE_STATEMENTS = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
DROP_STATEMENTS = {
    "sqlite": ["DROP TRIGGER audit_keeps_update", "DROP TRIGGER audit_keeps_delete"],
    "postgresql": ["DROP TRIGGER audit_keeps ON audit", "DROP FUNCTION audit_keeps()"],
}


def protect_table(table: Table) -> None:
    """Create the triggers whenever the table is created from the models; migration 0010 creates them otherwise."""

    def create_triggers(table: Any, connection: Any, **_: Any) -> None:
        for statement in CREATE_STATEMENTS.get(connection.dialect.name, ()):
            connection.execute(text(statement))

    event.listen(table, "after_create", create_triggers)
