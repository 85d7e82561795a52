"""A page that could not be shown now asks for itself again, with what the portal's page posted."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, request
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from bx24app.bitrix24.errors import NotSent
from bx24app.portals import frame_auth
from bx24app.web.base import retry_form
from tests.browser.conftest import browser
from tests.web.conftest import site

__all__ = ["browser", "site"]


@pytest.fixture
def posts(site: Flask, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was posted to the app, whose portal never answers."""
    posted: list[dict[str, str]] = []

    def refuse(*_: object, **__: object) -> None:
        posted.append({**request.form.to_dict(), **request.args.to_dict()})
        raise NotSent("the portal does not answer")

    monkeypatch.setattr(frame_auth, "open_frame", refuse)
    monkeypatch.setattr(retry_form, "FIRST_SECONDS", 1)
    return posted


def test_the_page_posts_itself_again(site: Flask, browser: Browser, posts: list[dict[str, str]]) -> None:
    server = make_server("127.0.0.1", 0, site, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    page = browser.new_page()
    try:
        page.set_content(
            f'<form method="post" action="http://127.0.0.1:{server.server_port}/?LANG=ru&DOMAIN=a.example.ru">'
            '<input name="member_id" value="m1"><input name="AUTH_ID" value="t">'
            '<input name="PLACEMENT_OPTIONS" value="{&quot;ID&quot;: 1}">'
            "<button>open</button></form>"
        )
        page.click("button")
        page.get_by_text("Страница попробует ещё раз сама").wait_for()
        expect(page.get_by_role("button", name="Попробовать сейчас")).to_be_visible()
        expect(page.locator("[name=retries]")).to_have_value("3", timeout=20_000)
    finally:
        page.close()
        server.shutdown()
        server.server_close()
    first, second = posts[:2]
    fields = {"member_id": "m1", "AUTH_ID": "t", "PLACEMENT_OPTIONS": '{"ID": 1}'}
    assert first == {**fields, "LANG": "ru", "DOMAIN": "a.example.ru"}
    assert second == {**first, "retries": "1"}
