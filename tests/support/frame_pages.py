"""What the tests of pages share: a Mango that answers at once, settings, forms as a browser would send them."""

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


class FakeMango:
    """One PBX at Mango: its right key is `key`, its right salt `salt`."""

    def __init__(self) -> None:
        self.state: Any = None
        self.error: MangoError | None = None
        self.requests: list[str] = []

    def __call__(self, api_key: str, api_salt: str) -> FakeMango:
        self.keys = (api_key, api_salt)
        return self

    def check_credentials(self) -> CredentialCheck:
        self.requests.append("check")
        if self.state:
            return CredentialCheck(self.state, (), "detail")
        if self.keys[0] != "key":
            return CredentialCheck("wrong_key")
        return CredentialCheck("ok", LINES) if self.keys[1] == "salt" else CredentialCheck("wrong_salt")

    def fetch_lines(self) -> list[MangoLine]:
        self.requests.append("lines")
        if self.error:
            raise self.error
        return list(LINES)

    def fetch_users(self) -> list[MangoUser]:
        self.requests.append("users")
        if self.error:
            raise self.error
        return list(USERS)


@pytest.fixture
def mango(monkeypatch: pytest.MonkeyPatch) -> FakeMango:
    """Mango as pages meet it."""
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
        """Send a form; `version` is the present one unless it is given."""
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
        """As if somebody else had saved this."""
        with self.site.app_context():
            row = db.session.get_one(Portal, self.portal)
            settings.save_version(
                row, document, {pbx.key: keys for pbx in document.pbxs}, author=9, source="frame", note="theirs"
            )
            db.session.commit()


@pytest.fixture
def frame(site: Flask, client: FlaskClient, portal: int) -> Frame:
    """The frame, with three employees in the portal's directory, one of them dismissed."""
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
    """Field -> what the page says is wrong with it."""
    messages = re.findall(r'data-testid="wrong-([\w-]+)">([^<]+)<', text)
    return {name: unescape(message) for name, message in messages}


def has(text: str, testid: str) -> bool:
    """Is there a part of this name on the page?"""
    return f'data-testid="{testid}"' in text
