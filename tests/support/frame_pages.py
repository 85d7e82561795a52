"""Fixtures for tests of the frame's pages: a fake Mango, and an administrator's frame that gets pages and posts forms.

A test package imports the fixtures `mango` and `frame`. `wrong` and `has` read the returned HTML.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from bx24app import settings
from bx24app.domain.settings import Settings
from bx24app.infra import mango_clients
from bx24app.mango.api_types import CredentialCheck, MangoLine, MangoUser
from bx24app.mango.errors import MangoError
from bx24app.models import Portal, PortalUser, db
from tests.web.conftest import claim

LINES = (MangoLine("74951234567", "Moscow", "1", "msk"), MangoLine("78121234567", "Petersburg", "2", "spb"))
USERS = (
    MangoUser("101", "Anna Smirnova", "anna@example.ru", None, "1", ("sip:a@b.ru",), None),
    MangoUser("102", "Ivan Petrov", None, "79160000102", "2", ("79160000102",), None),
    MangoUser("103", "Stranger", None, None, "3", (), None),
    MangoUser(None, "Without a number", None, None, "4", (), None),
)


API_KEY, API_SALT = "k" * 32, "s" * 32


class FakeMango:
    """Stands in for Mango's client. Valid are keys that begin with `k` and the salt API_SALT. `requests`: names of the
    calls made."""

    def __init__(self) -> None:
        self.state: Any = None
        self.error: MangoError | None = None
        self.lines: tuple[MangoLine, ...] = LINES
        self.requests: list[str] = []

    def __call__(self, api_key: str, api_salt: str) -> FakeMango:
        self.keys = (api_key, api_salt)
        return self

    def check_credentials(self) -> CredentialCheck:
        self.requests.append("check")
        if self.state:
            return CredentialCheck(self.state, (), "detail")
        if not self.keys[0].startswith("k"):
            return CredentialCheck("wrong_key")
        if self.keys[1] != API_SALT:
            return CredentialCheck("wrong_salt")
        return CredentialCheck("ok", self.lines, lines_error=self.error)

    def fetch_lines(self) -> list[MangoLine]:
        self.requests.append("lines")
        if self.error:
            raise self.error
        return list(self.lines)

    def fetch_users(self) -> list[MangoUser]:
        self.requests.append("users")
        if self.error:
            raise self.error
        return list(USERS)


@pytest.fixture
def mango(monkeypatch: pytest.MonkeyPatch) -> FakeMango:
    """Replaces the client of Mango that pages use."""
    fake = FakeMango()
    monkeypatch.setattr(mango_clients, "build_client", fake)
    return fake


class Frame:
    """An administrator's frame of one portal."""

    def __init__(self, site: Flask, client: FlaskClient, portal: int, lang: str = "en") -> None:
        self.site, self.portal = site, portal
        self._client, self._headers = client, claim(site, portal, lang=lang) | {"HX-Request": "true"}

    def get(self, path: str) -> str:
        answer = self._client.get(path, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, form: dict[str, Any], status: int = 200) -> str:
        """Post a form with the HTMX header. `version` defaults to the current version of the settings."""
        data = MultiDict(form)
        data.setdefault("version", str(self.number()))
        answer = self._client.post(path, data=data, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.text

    def settings(self) -> Settings:
        with self.site.app_context():
            return settings.current(db.session.get_one(Portal, self.portal))

    def number(self) -> int:
        with self.site.app_context():
            rows = settings.history(self.portal)
            return rows[0].number if rows else 0

    def save(self, document: Settings, keys: tuple[str, str] = ("key", "salt")) -> None:
        """Save this document as another administrator would."""
        with self.site.app_context():
            row = db.session.get_one(Portal, self.portal)
            settings.save_version(
                row, document, {pbx.key: keys for pbx in document.pbxs}, author=9, source="frame", note="theirs"
            )
            db.session.commit()


@pytest.fixture
def frame(site: Flask, client: FlaskClient, portal: int) -> Frame:
    """A frame of a portal whose directory has four users, one of them dismissed."""
    with site.app_context():
        people = (
            PortalUser(portal_id=portal, user_id=11, name="Anna Smirnova", email="Anna@example.ru"),
            PortalUser(portal_id=portal, user_id=12, name="Petrov Ivan", phones=["+7 (916) 000-01-02"]),
            PortalUser(portal_id=portal, user_id=13, name="Gone Away", active=False, inner_number="103"),
            PortalUser(portal_id=portal, user_id=9, name="Other Admin"),
        )
        db.session.add_all(people)
        db.session.commit()
    return Frame(site, client, portal)


def wrong(text: str) -> dict[str, str]:
    """Field name -> the error message that the page shows for it."""
    messages = re.findall(r'data-testid="wrong-([\w-]+)">([^<]+)<', text)
    return {name: unescape(message) for name, message in messages}


def has(text: str, testid: str) -> bool:
    """Whether the page has an element with this test id."""
    return f'data-testid="{testid}"' in text
