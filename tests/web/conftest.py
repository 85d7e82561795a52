"""An app of its own for each test: a SQLite file, no Redis, no network. What other machines say is faked at the use
case.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app import create_app
from bx24app.models import Pbx, Portal, db
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.conftest import config_for

HOOK = "hook-key-of-the-moscow-pbx-000001"


@pytest.fixture
def site(tmp_path: Path, valkey_url: str) -> Iterator[Flask]:
    """The app with empty tables; outside of any context, so that each request has one of its own."""
    (tmp_path / "var").mkdir()
    made = create_app(config_for(tmp_path, valkey_url))
    with made.app_context():
        made.extensions["bx24app"].redis.flushall()
        db.create_all()
    yield made
    with made.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    """A browser, or a PBX."""
    return site.test_client()


@pytest.fixture
def portal(site: Flask) -> int:
    """An installed portal with one PBX; its id."""
    with site.app_context():
        row = Portal(
            member_id="m" * 32,
            domain="portal.example.ru",
            client_endpoint="https://portal.example.ru/rest/",
            server_endpoint="https://oauth.bitrix.info",
            client_id="local.1",
            state="active",
        )
        db.session.add(row)
        db.session.flush()
        pbx = Pbx(
            portal_id=row.id, key="moscow", hook_key=HOOK, api_key="key", api_salt="salt", refused_count=0, position=0
        )
        db.session.add(pbx)
        db.session.commit()
        return row.id


def claim(site: Flask, portal_id: int, *, admin: bool = True, user_id: int = 7, lang: str = "en") -> dict[str, str]:
    """The header of a frame session."""
    with site.app_context():
        portal = db.session.get(Portal, portal_id)
        found = FrameSession(portal_id, portal.member_id if portal is not None else "m" * 32, user_id, admin, lang)
        return {session.HEADER: session.issue(found)}
