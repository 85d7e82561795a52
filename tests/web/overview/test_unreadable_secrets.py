"""A secret that no key decrypts is shown to those whom it concerns, and stops nothing that does not need it."""

from __future__ import annotations

import pytest

from bx24app.models import db
from bx24app.operations import doctor, secret_checks
from bx24app.web.monitoring import metrics
from tests.conftest import DOCUMENT, make_portal
from tests.support.frame_pages import API_KEY, API_SALT, FakeMango, Frame, frame, mango
from tests.support.poisoned_portals import SECRETS, spoil_secret

__all__ = ["frame", "mango"]
OF_PBX = ("api_key", "api_salt", "hook_sealed")
SHOWN = "trouble-secret"


@pytest.fixture
def connected(frame: Frame) -> Frame:
    frame.save(DOCUMENT)
    return frame


@pytest.mark.parametrize("column", [name for name in SECRETS if name not in ("access_token", "refresh_token")])
def test_the_overview_shows_it_and_other_pages_work(connected: Frame, mango: FakeMango, column: str) -> None:
    assert SHOWN not in connected.get("/frame")
    with connected.site.app_context():
        spoil_secret(connected.portal, column)
    page = connected.get("/frame")
    assert SHOWN in page
    assert "restores the encryption key" in page
    for path in ("/frame/pbxs", "/frame/rules", "/frame/calls", "/frame/pbxs/moscow/employees"):
        assert connected.get(path)


def test_a_page_that_needs_the_secret_itself_says_why_it_cannot_be_shown(connected: Frame, mango: FakeMango) -> None:
    with connected.site.app_context():
        spoil_secret(connected.portal, "hook_sealed")
    answer = connected._client.get("/frame/pbxs/moscow", headers=connected._headers)
    assert (answer.status_code, answer.headers["X-Error"]) == (500, "secret")
    assert "cannot be read" in answer.text


def test_entering_the_keys_again_mends_a_pbx(connected: Frame, mango: FakeMango) -> None:
    with connected.site.app_context():
        for column in ("api_key", "api_salt"):
            spoil_secret(connected.portal, column)
    typed = {"name": "Moscow", "dialects": ["vpbx"], "api_key": API_KEY, "api_salt": API_SALT}
    connected.post("/frame/pbxs/moscow", {**typed, "version": str(connected.number())})
    assert SHOWN not in connected.get("/frame")


def test_the_operator_finds_it(connected: Frame) -> None:
    with connected.site.app_context():
        other = make_portal("b" * 32)
        for column in OF_PBX:
            spoil_secret(other.id, column)
        assert secret_checks.count_undecryptable() == len(OF_PBX)
        assert {found.portal_id for found in secret_checks.find_undecryptable()} == {other.id}
        lines = [str(finding) for finding in doctor._check_secrets()]
        assert len(lines) == len(OF_PBX)
        assert all("WRONG secret pbx" in line and "keys rotate" in line for line in lines)
        db.session.rollback()
        assert f"bx24app_undecryptable_secrets {len(OF_PBX)}.0" in metrics.render_text()
    assert SHOWN not in connected.get("/frame"), "of another portal"
