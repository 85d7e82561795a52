"""What all commands share: wrong input ends with 2 and one line, an app in its context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import Flask

from bx24app import config as configuration
from bx24app.config import Config, ConfigError


class Wrong(click.ClickException):
    """Wrong input: exit 2."""

    exit_code = 2


def configured(**overrides: Any) -> Config:
    """The configuration; a wrong variable is one line and exit 2."""
    try:
        return configuration.load(**overrides)
    except ConfigError as error:
        raise Wrong(str(error)) from None


@contextmanager
def app_context() -> Iterator[Flask]:
    """An app in its context, for a command that reads or writes the database."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from bx24app import create_app, tree

    app = create_app(tree.with_redis(configured()))
    with app.app_context():
        try:
            yield app
        except (OperationalError, ProgrammingError) as error:
            text = str(error.orig).splitlines()[0]
            if "no such table" in text or "does not exist" in text:
                raise Wrong("the database is not migrated: run `bx24app db upgrade`") from None
            raise click.ClickException(f"the database does not answer: {text}") from None
