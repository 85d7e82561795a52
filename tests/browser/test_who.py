"""Who opens the application, in headless Chromium: an employee who is no administrator, somebody with a forged opening,
somebody whose session has ended.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlencode

import pytest
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import update

from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db
from bx24app.web.base import session
from scripts import needs
from tests.browser import every_page
from tests.browser.every_page import STOPS
from tests.support.demo_data import ALLA, DemoPortal, demo_portal
from tests.support.servers import CHROMIUM_MISSING

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]
LANGS = pytest.mark.parametrize("lang", ["ru", "en"])


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[DemoPortal]:
    with demo_portal(tmp_path_factory.mktemp("who"), valkey_url) as made:
        yield made


@LANGS
def test_an_employee_sees_their_own_calls_and_no_settings(room: DemoPortal, browser: Browser, lang: str) -> None:
    with every_page.visitor(room, browser, lang, user=ALLA) as (page, watch):
        frame = every_page.opened(page, room)
        expect(frame.locator("nav .tabs li")).to_have_count(1)
        rows = frame.locator("[data-testid=calls] tbody tr")
        expect(rows.first).to_be_visible()
        named = "Алла Белова"
        frame.locator("[data-testid=calls] tbody tr a.row", has_text="+7 916 104-75-14").click()
        expect(frame.locator("#page")).to_contain_text(named)
        expect(frame.locator("[data-testid=again]")).to_have_count(0)
        assert every_page.unfit(frame) == []
        page.set_viewport_size({"width": 375, "height": 780})
        assert every_page.sideways(page) == []
        assert watch.errors == []
        # What is not shown cannot be had either.
        asked = "(path) => fetch(path, {headers: {'X-Frame-Session': window.claim}}).then((answer) => answer.status)"
        claim = session_of(frame)
        frame.evaluate("(claim) => { window.claim = claim; }", claim)
        mine = {"home.show", "calls.show", "calls.show_call"}
        closed = {
            stop.name: frame.evaluate(asked, stop.address(room.known)) for stop in STOPS if stop.endpoint not in mine
        }
        assert set(closed.values()) == {403}, closed


def session_of(frame: every_page.Frame) -> str:
    """The session that the page's next request carries."""
    with frame.page.expect_request(re.compile(r"/frame/calls/list|/frame/calls$|/frame$")) as caught:
        frame.locator("nav .tabs a").first.click()
    return str(caught.value.headers["x-frame-session"])


@LANGS
def test_a_forged_opening_is_shown_the_way_in(room: DemoPortal, browser: Browser, lang: str) -> None:
    def forge(route: Route) -> None:
        form = dict(parse_qsl(route.request.post_data or "", keep_blank_values=True))
        route.continue_(post_data=urlencode(form | {"AUTH_ID": "f" * 70, "REFRESH_ID": "f" * 70}))

    with every_page.visitor(room, browser, lang) as (page, _):
        page.route(
            re.compile(re.escape(room.earth.url) + r"/(\?.*)?$"),
            lambda route: forge(route) if route.request.method == "POST" else route.continue_(),
        )
        page.goto(f"{room.earth.portal.url}/")
        page.get_by_role("link", name="Open", exact=True).click()
        app = page.frame_locator("#app iframe")
        expect(app.locator("h1")).to_have_text(
            "Open this page from Bitrix24" if lang == "en" else "Откройте эту страницу из Битрикс24"
        )
        expect(app.locator("body")).to_contain_text("Reload the Bitrix24 page" if lang == "en" else "Обновите страницу")
        expect(app.locator("nav .tabs")).to_have_count(0)
        page.unroute_all()
        page.reload()
        expect(app.locator("nav .tabs")).to_be_visible()


def test_a_session_that_has_ended_is_renewed_by_itself(
    room: DemoPortal, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    renewed = threading.Event()  # not the text of the session: two of the same second are alike

    def read(text: str) -> session.FrameSession:
        if not renewed.is_set():
            refused.append(text)
            raise session.NoSession(is_stale=True)
        return still(text)

    def issue(claim: session.FrameSession) -> str:
        renewed.set()
        return made(claim)

    still, made = session.read, session.issue
    with every_page.visitor(room, browser, "en") as (page, _):
        frame = every_page.opened(page, room)
        monkeypatch.setattr(session, "issue", issue)
        monkeypatch.setattr(session, "read", read)
        with page.expect_request(re.compile("/frame/renew")):
            frame.locator("[data-testid=tab-history]").click()
        expect(frame.locator("[data-testid=history]")).to_be_visible()
        assert refused


@LANGS
def test_where_the_portal_gives_no_new_session_the_page_says_so_and_keeps_what_was_typed(
    room: DemoPortal, browser: Browser, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_page.visitor(room, browser, lang) as (page, _):
        frame = every_page.opened(page, room)
        every_page.go(frame, next(stop for stop in STOPS if stop.name == "policy"), room.known)
        frame.locator("#card").select_option("never")
        page.route("**/frame/renew", lambda route: route.fulfill(status=401, body=""))
        monkeypatch.setattr(session, "PROOF_SECONDS", -1)
        frame.locator("[data-testid=save]").click()
        ended = frame.locator("[data-testid=session-ended]")
        expect(ended).to_contain_text("Reload the Bitrix24 page" if lang == "en" else "Обновите страницу")
        expect(frame.locator("#card")).to_have_value("never")


REASONS = [
    ("payment_required", "app.info", "not paid for", "не оплачено"),
    ("access_removed", "profile", "You have no access", "У вас нет доступа"),
    ("closed", "profile", "The portal is closed", "Портал закрыт"),
]
"""Fault, the question at which the renewal meets it, words of the page."""


@LANGS
@pytest.mark.parametrize(("fault", "method", "english", "russian"), REASONS)
def test_an_open_page_tells_why_its_session_is_not_renewed(
    room: DemoPortal, browser: Browser, lang: str, fault: str, method: str, english: str, russian: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Of a portal that refuses it says what the portal says; when the portal accepts again, the notice goes."""
    sandbox = room.earth.sandbox
    switches = sandbox.oauth.switches if method == "app.info" else room.earth.portal.switches
    with every_page.visitor(room, browser, lang) as (page, _):
        frame = every_page.opened(page, room)
        with room.earth.app.app_context():
            runtime().redis.delete(f"admin:{room.earth.portal.member_id}:1")
        sandbox.call(lambda: switches.switch_on(fault, method=method))
        try:
            with monkeypatch.context() as late:
                late.setattr(session, "PROOF_SECONDS", -1)
                frame.locator("[data-testid=tab-policy]").click()
                ended = frame.locator("[data-testid=session-ended]")
                expect(ended).to_contain_text(english if lang == "en" else russian)
                expect(ended).not_to_contain_text("Reload" if lang == "en" else "Обновите")
        finally:
            sandbox.call(switches.switch_off)
        with monkeypatch.context() as late:
            late.setattr(session, "read", stale_once(session.read))
            frame.locator("[data-testid=tab-policy]").click()
            expect(frame.locator("#card")).to_be_visible()
        expect(ended).to_have_count(0)


def stale_once(read: Callable[[str], session.FrameSession]) -> Callable[[str], session.FrameSession]:
    first = iter((True,))

    def read_later(text: str) -> session.FrameSession:
        if next(first, False):
            raise session.NoSession(is_stale=True)
        return read(text)

    return read_later


def test_an_administrator_authorises_again_outside_the_frame(room: DemoPortal, browser: Browser) -> None:
    def stop(state: str, trouble: str | None) -> None:
        with room.earth.app.app_context():
            db.session.execute(update(Portal).values(state=state, trouble=trouble))
            db.session.commit()

    try:
        with every_page.visitor(room, browser, "en") as (page, watch):
            frame = every_page.opened(page, room)
            stop("needs_admin", "payment")  # an opening would heal it
            frame.locator("[data-testid=tab-home]").click()
            with page.context.expect_page() as opened:
                frame.locator("[data-testid=authorise]").click()
            expect(opened.value.get_by_test_id("authorised")).to_be_visible()
            assert watch.errors == []
    finally:
        stop("active", None)


def test_a_portal_that_is_busy_does_not_end_the_session(
    room: DemoPortal, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_page.visitor(room, browser, "en") as (page, _):
        frame = every_page.opened(page, room)
        every_page.go(frame, next(stop for stop in STOPS if stop.name == "policy"), room.known)
        frame.locator("#card").select_option("never")
        page.route("**/frame/renew", lambda route: route.fulfill(status=503, body=""))
        with monkeypatch.context() as late:
            late.setattr(session, "PROOF_SECONDS", -1)
            frame.locator("[data-testid=save]").click()
            expect(frame.locator("#toasts")).to_contain_text("Try again")
        expect(frame.locator("[data-testid=session-ended]")).to_have_count(0)
        expect(frame.locator("#card")).to_have_value("never")
