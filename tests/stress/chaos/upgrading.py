"""A release that does not exist yet: an additive migration in a copy of `migrations`, and code that knows its columns.

So a rolling upgrade needs no history of the repository: the new code is this code with one more column in the tables
of calls, which it reads with every row and fills in every new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from tests.stress.chaos.processes import ChaosStack

MIGRATIONS = Path(__file__).parents[3] / "migrations"
TABLES = ("call", "notification", "delivery", "recording")
REVISION = "next"
MIGRATIONS_VARIABLE = "CHAOS_MIGRATIONS"
"""The environment variable that names the copy."""
_TEXT = '''"""What the next release may bring: a column with a default, an index beside the writers."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{head}"


def upgrade() -> None:
    # One table in each transaction: several locks at once could deadlock with the sweep, which has its own order. So
    # each statement may be the last before a death, and all of them may come again.
    postgresql = op.get_context().dialect.name == "postgresql"
    again = {{"if_not_exists": True}} if postgresql else {{}}
    with op.get_context().autocommit_block():
        for table in {tables}:
            op.add_column(table, sa.Column("chaos", sa.String(), nullable=False, server_default="old code"), **again)
        if postgresql:
            op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_call_chaos")  # an unfinished one is not valid
        op.create_index("ix_call_chaos", "call", ["chaos"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_call_chaos", table_name="call")
        for table in {tables}:
            op.drop_column(table, "chaos")
'''


def learn() -> None:
    """Turn this process into the new code. Call it before the first query."""
    from sqlalchemy import String
    from sqlalchemy.orm import mapped_column

    from bx24app.models import Call, Delivery, Notification, Recording

    for kind in (Call, Delivery, Notification, Recording):
        kind.chaos = mapped_column("chaos", String, default="new code")  # type: ignore[attr-defined]


@contextmanager
def copied_migrations(stack: ChaosStack) -> Iterator[None]:
    """The web process's migrations are a copy with that of the next release; at the end the database goes back."""
    from flask_migrate import downgrade

    from bx24app.models import db

    app, copy = stack.world.app, stack.folder / "migrations"
    shutil.copytree(MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    head = ScriptDirectory(str(copy)).get_current_head()
    (copy / "versions" / "9999_next.py").write_text(_TEXT.format(revision=REVISION, head=head, tables=TABLES))
    known = app.extensions["migrate"].migrate
    usual, known.directory = known.directory, str(copy)
    try:
        yield
        with app.app_context():
            db.session.remove()
            downgrade(revision=head)
    finally:
        known.directory = usual
        shutil.rmtree(copy)


@contextmanager
def upgraded(stack: ChaosStack) -> Iterator[None]:
    """Migrate the database as an operator would (`bx24app.cli.up.migrate_database`), and back at the end.

    Raises:
        RuntimeError: the new code wrote nothing, so that nothing was tried.
    """
    from sqlalchemy import text

    from bx24app.cli import up
    from bx24app.models import db

    app = stack.world.app
    with copied_migrations(stack):
        up.migrate_database(app)
        yield
        with app.app_context():
            wrote = db.session.scalar(text("SELECT count(*) FROM delivery WHERE chaos = 'new code'"))
            db.session.remove()
    if not wrote:
        raise RuntimeError("the new code wrote nothing: nothing was tried")
