"""Helpers for tests of installations over real HTTP: the app on a port, the sandbox as portal and OAuth server.

The fixture `w` gives a `World` with two portals. The functions open the app in a portal, install it, and read or change
the rows of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from sqlalchemy import select, update

from bx24app.bitrix24.inbound import FramePost
from bx24app.models import Base, Grant, Portal, db
from bx24app.portals import frame_auth
from bx24app.portals.frame_auth import FrameOpening
from bx24app.sandbox.bitrix.state import Application
from tests.conftest import config_for
from tests.support.stack import CLIENT_ID, World, until, world


@pytest.fixture
def w(tmp_path: Path, valkey_url: str) -> Iterator[World]:
    """A world with two portals and no installation; the app's context is active."""
    with world(tmp_path, valkey_url, config_for, portals=2) as running, running.app.app_context():
        yield running


def post_of(w: World, user_id: int = 1, number: int = 0, app: Application | None = None, **forged: str) -> FramePost:
    """What the portal posts when this user opens the frame. `forged` replaces fields."""
    form = w.sandbox.call(w.sandbox.portals[number].open_form, user_id, app or w.application)
    query = dict(parse_qsl(urlsplit(form.url).query))
    changed = {name: forged.pop(name, value) for name, value in query.items()}
    return FramePost.from_form({**form.fields, **forged}, changed)


def opened(w: World, user_id: int = 1, number: int = 0, install_page: bool = False, **forged: str) -> FrameOpening:
    return frame_auth.open_frame(post_of(w, user_id, number, **forged), install_page=install_page)


def installed(w: World, user_id: int = 1, number: int = 0) -> int:
    """Install the app as an administrator would. Returns our id of the portal."""
    opening = opened(w, user_id, number, install_page=True)
    assert opening.portal_id is not None
    w.sandbox.call(w.sandbox.portals[number].finish_install, w.application)
    until(lambda: row(opening.portal_id).state == "active", "the portal did not become active")
    w.sandbox.call(w.sandbox.portals[number].wait_until_idle)
    return opening.portal_id


def row(portal_id: int | None) -> Portal:
    """The portal's current row. No transaction stays open, because on SQLite it would block the app's writes."""
    assert portal_id is not None
    portal = db.session.get_one(Portal, portal_id, populate_existing=True)
    db.session.expunge(portal)
    db.session.rollback()
    return portal


def grant(portal_id: int) -> Grant:
    row = db.session.get_one(Grant, portal_id, populate_existing=True)
    db.session.expunge(row)
    db.session.rollback()
    return row


def change(portal_id: int, **values: Any) -> None:
    db.session.execute(update(Portal).where(Portal.id == portal_id).values(**values))
    db.session.commit()


def rows(table: type[Base], **wanted: Any) -> list[Any]:
    results = list(db.session.scalars(select(table).filter_by(**wanted)))
    db.session.expunge_all()
    db.session.rollback()
    return results


def event(w: World, name: str, *, number: int = 0, data: dict[str, Any] | None = None, **auth: str) -> int:
    """Post an event as Bitrix24 would. Returns the HTTP status."""
    portal = w.sandbox.portals[number]
    fields = {"event": name, "ts": "1773236988", "auth[member_id]": portal.member_id}
    fields |= {f"data[{key}]": str(value) for key, value in (data or {}).items()}
    fields |= {f"auth[{key}]": value for key, value in auth.items()}
    return requests.post(f"{w.url}/bitrix24/events", data=fields, timeout=20).status_code


def token_of(w: World, number: int = 0) -> str:
    return str(w.sandbox.portals[number].apps[CLIENT_ID].application_token)
