"""Both databases for tests that need a whole one of their own, as the migrations make it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load
from scripts import needs
from tests.support.servers import POSTGRES_MISSING, postgres

_MARKS = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]
on_both_databases = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=_MARKS)])


@contextmanager
def migrated_app(database: str, folder: Path) -> Iterator[Flask]:
    """An application on a new database of this kind; its Redis does not answer."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres(folder)) if database == "postgresql" else ""
        app = create_app(
            load(
                {"BX24APP_DATA_DIR": str(folder / "var")},
                database_url=url,
                redis_url="redis://127.0.0.1:1",
                secret_key="tests only",
                encryption_keys=(Fernet.generate_key().decode(),),
            )
        )
        up.migrate_database(app)
        yield app
