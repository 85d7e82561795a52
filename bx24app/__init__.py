"""bx24app: Mango Office cloud telephony for Bitrix24.

`create_app` is the only place where the parts are joined. Importing the package has no effects.
"""

from __future__ import annotations

from typing import Any

from flask import Flask

__version__ = "0.2.0"
"""The one place where the version stands; pyproject.toml reads it from here."""


def create_app(config: Any = None) -> Flask:
    """Make the Flask application of one process.

    Args:
        config: a `bx24app.config.Config`; None reads the environment.

    Raises:
        bx24app.config.ConfigError: a variable cannot be used.
    """
    from bx24app import config as configuration
    from bx24app import web
    from bx24app.infra import logs, migrate, resources, tracing
    from bx24app.infra.runtime import Runtime
    from bx24app.models import db
    from bx24app.models.base import make_durable
    from bx24app.models.connections import check_rested_connections
    from bx24app.models.database_identity import reader
    from bx24app.web.base.request import BoundedRequest

    settings = config if config is not None else configuration.load()
    logs.set_up(settings.log_level, settings.log_format)
    tracing.set_up(settings.otlp_endpoint)
    templates, static = (str(resources.find_folder(name)) for name in ("templates", "static"))
    app = Flask(__name__, template_folder=templates, static_folder=static)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(settings.database_url),
        MAX_CONTENT_LENGTH=4 * 1024 * 1024,  # most requests may send less: web.base.request
        MAX_FORM_MEMORY_SIZE=4 * 1024 * 1024,  # the rules page sends its whole draft
    )
    app.request_class = BoundedRequest
    app.session_interface = web.NoCookies()
    db.init_app(app)
    with app.app_context():
        make_durable(db.engine)
        if db.engine.dialect.name == "postgresql":
            check_rested_connections(db.engine)
        read_database_id = reader(db.engine)
    app.extensions["migrate"] = migrate.LazyMigrate(app, resources.find_folder("migrations"))
    app.extensions["bx24app"] = Runtime(settings, read_database_id)
    web.init_app(app)
    return app


def _engine_options(url: str) -> dict[str, Any]:
    # hide_parameters: an error of the database must not print what was to be stored (bodies, numbers, hook keys).
    if url.startswith("sqlite"):
        arguments = {"timeout": 15, "check_same_thread": False}
        return {"hide_parameters": True, "connect_args": arguments, "pool_size": 20, "max_overflow": 80}
    options: dict[str, Any] = {"hide_parameters": True, "pool_size": 10, "max_overflow": 90, "pool_use_lifo": True}
    if "options=" not in url:
        # Measured: compiling a query took 50 ms of 130, starting parallel workers 25 of 80 (and they take cores from
        # other portals).
        options["connect_args"] = {"options": "-c jit=off -c max_parallel_workers_per_gather=0"}
    return options
