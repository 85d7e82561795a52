"""Statistics, the history of settings and our tabs in the portal's own pages, in headless Chromium: both languages,
wide and narrow, light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, Page, expect

from bx24app import settings
from bx24app.calls.statistics import aggregation
from bx24app.domain.settings import CallSettings, EmployeeSettings, LineSettings, PbxSettings, Settings
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.sandbox.bitrix import calls
from bx24app.sandbox.bitrix.state import CONTACT, LiveCall
from scripts import needs
from tests.conftest import config_for
from tests.support.browser_walk import ROOT, Watch, no_wider_than_the_window, picture
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import World, world

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
MOSCOW = PbxSettings(
    key="moscow",
    name="Москва",
    lines=(LineSettings(number="74951234567", name="Главная"), LineSettings(number="74951234568", name="Реклама")),
    employees=(EmployeeSettings(extension="101", user_id=1),),
)
FIRST = Settings(pbxs=(MOSCOW,))
SECOND = Settings(
    calls=CallSettings(answered="contact"),
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Москва",
            lines=MOSCOW.lines[:1],
            employees=(EmployeeSettings(extension="101", user_id=1),),
        ),
    ),
)
NUMBER = "+79161000000"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal with its pages, forty calls of one client, two versions of the settings."""
    with world(tmp_path_factory.mktemp("beyond"), valkey_url, config_for, pages=True) as made:
        made.portal.limits.rate = 0
        made.work(calls=0, recordings=1)
        made.install()
        phone = [{"typeId": "PHONE", "value": NUMBER}]
        fields = {"title": "Known", "name": "Пётр", "lastName": "Смирнов", "assignedById": 1}
        contact = int(made.sandbox.call(made.portal.crm.add_record, CONTACT, fields, phone).id)
        with made.app.app_context():
            portal_id = made.portal_row()["id"]
            for document, author in ((FIRST, 1), (SECOND, None)):
                settings.save_version(
                    db.session.get_one(Portal, portal_id), document, {"moscow": ("k", "s")}, author=author
                )
                db.session.commit()
            fill(portal_id, contact)
            aggregation.refresh_counts()
            db.session.remove()
        yield made


def fill(portal_id: int, contact: int) -> None:
    pbx_id = db.session.query(PbxRow.id).scalar()
    for number in range(40):
        at = utcnow() - timedelta(hours=7 * number + 1)
        outcome = ("answered", "answered", "missed")[number % 3]
        call = Call(
            portal_id=portal_id,
            pbx_id=pbx_id,
            pbx_key="moscow",
            entry_id=f"entry-{number}",
            state="finished",
            direction="in",
            line_number=MOSCOW.lines[number % 2].number,
            client_number=NUMBER,
            started_at=at,
            outcome=outcome,
            answered_at=at + timedelta(seconds=number) if outcome == "answered" else None,
            user_id=1,
            talk_seconds=60 + number,
            crm=[{"entity": "contact", "id": contact, "created": True}],
        )
        db.session.add(call)
        db.session.flush()
        if outcome == "answered":
            db.session.add(
                Recording(
                    portal_id=portal_id, call_id=call.id, recording_id=f"r{number}", state="attached", lag_seconds=9.0,
                    attached_at=at,
                )
            )  # fmt: skip
    db.session.commit()


@pytest.fixture(params=["ru", "en"])
def page(office: World, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The portal as its administrator sees it. Nothing fails on the way."""
    office.portal.lang = request.param
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    watch = Watch(page, office.url)
    yield page
    assert not watch.errors, watch.errors
    assert watch.without_session() == []
    context.close()


def opened(page: Page, office: World) -> FrameLocator:
    page.goto(f"{office.portal.url}/")
    page.get_by_role("link", name="Open", exact=True).click()
    app = page.frame_locator("#app iframe")
    expect(app.locator("html[data-ready]")).to_be_attached()
    return app


def looked_at(page: Page, name: str, frame: Frame | None = None) -> None:
    """Wide and narrow, light and dark: nothing scrolls sideways, nothing that axe knows of shuts anybody out."""
    for width, height in ((1280, 860), (375, 780)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.wait_for_timeout(200)  # the frame takes its content's height
            no_wider_than_the_window(page)
            picture(page, f"{name}-{width}-{scheme}")
            if frame is not None:
                assert unfit(frame) == [], (width, scheme)
    page.set_viewport_size({"width": 1280, "height": 860})
    page.emulate_media(color_scheme="light")


def unfit(frame: Frame) -> list[Any]:
    frame.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[Any] = frame.evaluate(
        "axe.run(document).then((said) => said.violations.map((one) => [one.id, one.nodes[0].html]))"
    )
    return found


def test_statistics_are_drawn_from_the_tables(office: World, page: Page) -> None:
    app, lang = opened(page, office), office.portal.lang
    app.get_by_test_id("tab-statistics").click()
    expect(app.locator("html[data-drawn]")).to_be_attached()
    expect(app.locator("canvas")).to_have_count(4)
    expect(app.get_by_test_id("tile-calls")).to_contain_text("40")
    looked_at(page, f"statistics-{lang}", page.frames[1])
    app.locator("section:has(#t-lines) summary").click()
    expect(app.get_by_test_id("t-lines")).to_contain_text("Главная")
    app.locator("#period").select_option("365")
    expect(app.locator("#t-calls tbody tr")).to_have_count(len(_months(365)))
    expect(app.locator("canvas")).to_have_count(4)
    app.locator("#period").select_option("own")
    app.get_by_test_id("since").fill("2020-01-01")
    app.get_by_test_id("until").fill("2020-01-31")
    app.get_by_test_id("show").click()
    expect(app.get_by_test_id("no-figures")).to_be_visible()
    looked_at(page, f"statistics-empty-{lang}", page.frames[1])


def _months(days: int) -> set[tuple[int, int]]:
    """The months that a period of so many days touches which ends today in the portal's zone: 13, or 12 where it ends
    with a month.
    """
    today = datetime.now(ZoneInfo("Europe/Moscow")).date()
    return {(day.year, day.month) for day in (today - timedelta(days=back) for back in range(days))}


def test_scripts_and_styles_of_the_dearest_page_are_small(office: World, page: Page) -> None:
    sizes: dict[str, int] = {}

    def arrived(answer: Any) -> None:
        if "/assets/" in answer.url and answer.url.endswith((".js", ".css")) and "b24jssdk" not in answer.url:
            sizes[answer.url] = int(answer.headers.get("content-length") or 10**9)

    page.on("response", arrived)
    app = opened(page, office)
    app.get_by_test_id("tab-statistics").click()
    expect(app.locator("html[data-drawn]")).to_be_attached()
    assert any("chart" in url for url in sizes)
    assert sum(sizes.values()) <= 150 * 1024, sizes


def test_the_history_leads_back(office: World, page: Page) -> None:
    app, lang = opened(page, office), office.portal.lang
    app.get_by_test_id("tab-history").click()
    expect(app.get_by_test_id("version-2")).to_be_visible()
    present = app.get_by_test_id("history").locator("tbody tr").count()
    looked_at(page, f"history-{lang}", page.frames[1])
    app.get_by_test_id("version-2").locator("a.row").click()
    expect(app.get_by_test_id("differences")).to_contain_text("Реклама")
    looked_at(page, f"history-version-{lang}", page.frames[1])
    app.get_by_test_id("with").select_option("1")
    app.get_by_test_id("back-to-list").click()
    back = "1" if present % 2 == 0 else "2"
    app.get_by_test_id(f"version-{back}").locator("a.row").click()
    app.get_by_test_id("back").click()
    expect(app.get_by_test_id("back-confirm")).to_be_visible()
    looked_at(page, f"history-back-{lang}", page.frames[1])
    app.get_by_test_id("back-confirm").click()
    expect(app.get_by_test_id("saved")).to_be_visible()
    expect(app.get_by_test_id(f"version-{present + 1}")).to_be_visible()


def test_the_tab_of_a_contact_shows_its_calls(office: World, page: Page) -> None:
    contact, lang = next(iter(office.portal.contacts)), office.portal.lang
    page.goto(f"{office.portal.url}/crm/contact/details/{contact}/")
    page.get_by_role("tab", name="Mango Office").click()
    app = page.frame_locator("#tabframe iframe")
    expect(app.locator("html[data-ready]")).to_be_attached()
    rows = app.get_by_test_id("place-calls").locator("tbody tr[data-testid^=call-]")
    expect(rows.first).to_be_visible()
    looked_at(page, f"tab-contact-{lang}", page.frames[1])
    app.get_by_test_id("more").scroll_into_view_if_needed()
    expect(rows).to_have_count(40)


def test_the_telephony_menu_opens_the_statistics(office: World, page: Page) -> None:
    page.goto(f"{office.portal.url}/telephony/")
    page.get_by_role("tab", name="Mango Office").click()
    app = page.frame_locator("#tabframe iframe")
    expect(app.get_by_test_id("page-statistics")).to_be_visible()
    expect(app.locator("html[data-drawn]")).to_be_attached()


def test_unsaved_changes_are_announced(office: World, page: Page) -> None:
    app = opened(page, office)
    app.get_by_test_id("tab-policy").click()
    app.locator("#card").select_option("never")
    expect(app.locator(".savebar .changed")).to_be_visible()
    app.get_by_test_id("tab-history").click()
    expect(app.get_by_test_id("ask-yes")).to_be_visible()
    app.get_by_test_id("ask-no").click()
    expect(app.locator("#card")).to_have_value("never")
    app.get_by_test_id("tab-history").click()
    app.get_by_test_id("ask-yes").click()
    expect(app.get_by_test_id("history")).to_be_visible()


def test_a_call_card_follows_its_client(office: World, page: Page) -> None:
    """Who calls becomes known while the card is open: its tab shows that client's calls, without being opened again."""
    portal, lang = office.portal, office.portal.lang
    call = LiveCall(f"externalCall.card-{lang}", 1, 1, "+79169999999", 2, portal.now(), portal.now())
    page.goto(f"{portal.url}/")

    def rings() -> None:
        portal.calls[call.call_id] = call
        calls.show_card(portal, call, [1], "telephony.externalCall.show")

    def is_known() -> None:
        call.primary = (CONTACT, next(iter(portal.contacts)))
        portal.notify_watchers("call", call_id=call.call_id, state="registered")

    def ends() -> None:
        calls.hide_card(portal, call.call_id, [1], "telephony.externalCall.hide")
        del portal.calls[call.call_id]

    office.sandbox.call(rings)
    card = page.locator(f"#cards .callcard[data-call='{call.call_id}']")
    card.locator("nav button").nth(1).click()
    app = page.frame_locator("#cards iframe")
    expect(app.locator("html[data-ready]")).to_be_attached()
    expect(app.get_by_test_id("no-calls")).to_be_visible()
    office.sandbox.call(is_known)
    rows = app.get_by_test_id("place-calls").locator("tbody tr[data-testid^=call-]")
    expect(rows.first).to_be_visible()
    picture(page, f"call-card-followed-{lang}")
    office.sandbox.call(ends)
