"""Fixtures that most tests use: a real Valkey, an app with its own database, and one portal with one PBX.

The app and its tables are new for each test; the Valkey server runs for the session and is flushed for each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from bx24app import create_app, settings
from bx24app.config import Config, load
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Settings
from bx24app.models import Pbx as PbxRow
from bx24app.models import Portal, db
from tests.support.servers import valkey

KEY, SALT = "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one Valkey server for the whole session; the `app` fixture flushes it."""
    with valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


def config_for(tmp_path: Path, redis_url: str, **more: object) -> Config:
    """A configuration for one test: loopback addresses are allowed and all files are below `tmp_path`."""
    return load(
        {"BX24APP_DATA_DIR": str(tmp_path / "var"), "BX24APP_ALLOW_LOOPBACK": "1"},
        redis_url=redis_url,
        secret_key="tests only",
        encryption_keys=(Fernet.generate_key().decode(),),
        log_level="WARNING",
        **more,
    )


@pytest.fixture
def app(tmp_path: Path, valkey_url: str) -> Iterator[Flask]:
    """An app with empty tables; its application context is active."""
    app = create_app(config_for(tmp_path, valkey_url))
    (tmp_path / "var").mkdir(exist_ok=True)
    with app.app_context():
        app.extensions["bx24app"].redis.flushall()
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Moscow office",
            dialects=("vpbx",),
            default_user_id=9,
            lines=(LineSettings(number="74950000001", name="Moscow"),),
            employees=(
                EmployeeSettings(extension="101", user_id=11),
                EmployeeSettings(extension="102", user_id=12),
                EmployeeSettings(extension="103", user_id=13),
            ),
        ),
    )
)


@pytest.fixture
def portal(app: Flask) -> Portal:
    """An installed portal with one PBX. The portal is paused, so the app sends nothing."""
    return make_portal()


@pytest.fixture
def portal_id(portal: Portal) -> int:
    """The id of the portal, for use cases that take an id instead of a row."""
    return portal.id


def make_portal(member_id: str = "a" * 32, state: str = "paused", document: Settings = DOCUMENT) -> Portal:
    portal = Portal(
        member_id=member_id,
        domain="portal.example",
        client_endpoint="https://portal.example/rest/",
        server_endpoint="https://oauth.bitrix.info",
        client_id="local.test",
        state=state,
        application_token="token-of-the-application",
    )
    db.session.add(portal)
    db.session.flush()
    settings.save_version(portal, document, {pbx.key: (KEY, SALT) for pbx in document.pbxs})
    db.session.commit()
    return portal


@pytest.fixture
def hook(portal: Portal) -> str:
    """The hook key of the portal's PBX."""
    return db.session.query(PbxRow).filter_by(portal_id=portal.id).one().hook_key
