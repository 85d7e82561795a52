"""What all commands share: an app in its context, the portal of a command, errors as one line (wrong input: exit 2)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bx24app import config as configuration
from bx24app.config import Config, ConfigError

if TYPE_CHECKING:
    from flask import Flask

    from bx24app.models import Portal


PORTAL_OPTION = click.option("--portal", "member_id", required=True, help="The portal's member_id.")


class InputError(click.ClickException):
    """Wrong input: exit 2."""

    exit_code = 2


def load_config(**overrides: Any) -> Config:
    """The configuration; a wrong variable is one line and exit 2."""
    try:
        return configuration.load(**overrides)
    except ConfigError as error:
        raise InputError(str(error)) from None


def _command_errors() -> tuple[type[Exception], ...]:
    """Alembic's, where it has been loaded: a tree of processes does without it."""
    module = sys.modules.get("alembic.util")
    return (module.CommandError,) if module else ()


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn failures of database, Valkey, address and keys into one line each, without a traceback."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, ProgrammingError

    from bx24app.infra.embedded_redis import EmbeddedRedisError
    from bx24app.infra.encryption import UndecryptableSecret
    from bx24app.infra.processes.web_server import ListenError
    from bx24app.operations.adoption import RedisInUse

    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        text = (str(error.orig).strip().splitlines() or [type(error).__name__])[0]
        if any(sign in text for sign in ("no such table", "no such column", "does not exist")):
            raise click.ClickException(f"the database is not migrated ({text}): run `bx24app db upgrade`") from None
        raise click.ClickException(f"the database does not answer: {text}") from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise InputError(
            f"BX24APP_DATABASE_URL cannot be used: {error}; give one such as postgresql://user@host/name"
        ) from None
    except _command_errors() as error:
        raise click.ClickException(f"the database belongs to another version of the app: {error}") from None
    except UndecryptableSecret as error:
        raise click.ClickException(f"{error}: give the key that encrypted them as well") from None
    except (ListenError, EmbeddedRedisError, RedisInUse) as error:
        raise click.ClickException(str(error)) from None
    except ConfigError as error:
        raise InputError(str(error)) from None


@contextmanager
def app_context() -> Iterator[Flask]:
    """An app in its context, for a command that reads or writes the database. Redis need not run."""
    from bx24app import create_app
    from bx24app.cli import up
    from bx24app.models import db

    config = up.with_redis(load_config())
    with report_errors():
        app = create_app(config)
        with app.app_context():
            try:
                yield app
            finally:
                db.session.remove()
                db.engine.dispose()


def get_portal(member_id: str) -> Portal:
    """The portal that a command names; removed ones too."""
    from bx24app.portals.lifecycle import find_by_member

    portal = find_by_member(member_id)
    if portal is None:
        raise InputError(f"no portal with the member_id {member_id}: see `bx24app portals list`")
    return portal


def load_id_and_state(member_id: str) -> tuple[int, str]:
    """Row id and state of the portal that a command names; no transaction stays open."""
    from bx24app.models import db

    portal = get_portal(member_id)
    result = portal.id, portal.state
    db.session.rollback()
    return result


def format_count(number: int, noun: str) -> str:
    """`1 call`, `2 calls`, `2 deliveries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
