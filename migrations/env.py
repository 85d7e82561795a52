"""Alembic's environment: the app's own engine, its metadata, batch mode for SQLite. Run by Flask-Migrate (`bx24app db
upgrade`).
"""

from alembic import context
from flask import current_app

from bx24app.models import Base

migrate = current_app.extensions["migrate"]
options = {
    "target_metadata": Base.metadata,
    "render_as_batch": True,
    "compare_type": True,
    "user_module_prefix": "types.",
    **{key: value for key, value in migrate.configure_args.items() if key != "render_as_batch"},
}


def online() -> None:
    """Against the database. Locks are asked for with patience and given up: a migration must never block writers for
    long.
    """
    engine = migrate.db.engine
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET lock_timeout = '10s'")
            connection.commit()
        context.configure(connection=connection, transaction_per_migration=True, **options)
        with context.begin_transaction():
            context.run_migrations()


def offline() -> None:
    """As SQL text, for a look before it runs."""
    url = migrate.db.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    online()
