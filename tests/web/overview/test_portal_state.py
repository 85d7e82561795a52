"""What the overview says while Bitrix24 refuses the application or has not granted it everything, and afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.domain.settings import LineSettings, PbxSettings, PortalSettings, Settings
from bx24app.infra.messages import needs_admin_message
from bx24app.models import Pbx, Portal, db, utcnow
from tests.support.frame_pages import Frame, frame
from tests.web.conftest import claim

__all__ = ["frame"]


def connect(frame: Frame, **columns: object) -> None:
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", lines=(LineSettings(number="74951234567"),)),)))
    change(frame, **columns)


def change(frame: Frame, **columns: object) -> None:
    with frame.site.app_context():
        row = db.session.get_one(Portal, frame.portal)
        for name, value in columns.items():
            setattr(row, name, value)
        db.session.commit()


def authorisation(page: str) -> str:
    return unescape(page.partition('id="authorisation"')[2].partition("</dd>")[0])


def test_the_reason_of_a_refusal_stands_in_the_notice_alone(frame: Frame) -> None:
    connect(frame, state="needs_admin", trouble="payment", probe_at=utcnow())
    page = unescape(frame.get("/frame"))
    assert page.count(needs_admin_message("en", "payment")) == 1
    assert "not accepted" in authorisation(page)


def test_a_paused_portal_keeps_its_authorisation(frame: Frame) -> None:
    connect(frame, state="paused")
    assert "valid" in authorisation(frame.get("/frame"))
    change(frame, trouble="payment")
    assert needs_admin_message("en", "payment") in authorisation(frame.get("/frame")), "no notice names it"


@pytest.mark.parametrize("trouble", [None, "payment"])
def test_a_page_is_told_when_the_portal_accepts_the_application_again(
    frame: Frame, site: Flask, client: FlaskClient, trouble: str | None
) -> None:
    """Its authorisation asks for itself again at that moment."""
    connect(frame, trouble=trouble)
    assert 'hx-trigger="portal-resumed from:body"' in authorisation(frame.get("/frame"))
    answer = client.get("/frame/portal", headers=claim(site, frame.portal, lang="en") | {"HX-Request": "true"})
    assert answer.headers.get("HX-Trigger") == (None if trouble else "portal-resumed")


@pytest.mark.parametrize(
    ("granted", "missing", "level"),
    [
        ("", [], ""),
        ("telephony,crm,user,placement,im,timeman", [], ""),
        ("telephony,crm,user_brief,im", ["placement", "timeman"], "warn"),
        ("crm", ["telephony", "user", "placement", "im", "timeman"], "bad"),
    ],
)
def test_missing_permissions_are_one_notice(frame: Frame, granted: str, missing: list[str], level: str) -> None:
    change(frame, scopes=granted)
    page = unescape(frame.get("/frame"))
    assert page.count('data-testid="trouble-scope"') == bool(missing)
    notice = page.partition('data-testid="trouble-scope"')[2].partition("</section>")[0]
    assert [name for name in ("telephony", "crm", "user", "placement", "im", "timeman") if f"({name})" in notice] == (
        missing
    )
    if missing:
        assert f'<section class="notice {level}" data-testid="trouble-scope"' in page
        assert f"lacks {len(missing)} permissions" in notice


def test_refused_notifications_lead_to_the_form_of_the_keys(frame: Frame) -> None:
    """The part that asks for itself again shows the same time as the page: the portal's."""
    pbx = PbxSettings(key="moscow", lines=(LineSettings(number="74951234567"),))
    frame.save(Settings(portal=PortalSettings(timezone="Asia/Vladivostok"), pbxs=(pbx,)))
    with frame.site.app_context():
        row = db.session.query(Pbx).one()
        row.refused_count, row.refused_since = 4, datetime(2020, 5, 1, 20, 30, tzinfo=UTC)
        db.session.commit()
    pulse = frame.get("/frame/pbxs/moscow/pulse")
    assert "4 notifications were refused" in pulse
    assert all("2 May 2020, 06:30" in text for text in (pulse, frame.get("/frame/pbxs/moscow")))
    assert 'hx-get="/frame/pbxs/moscow/edit" hx-target="#app" hx-swap="innerHTML"' in pulse
