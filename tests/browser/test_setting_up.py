"""In headless Chromium: steps of the checklist done right in it, employees from a file, the tab in a ringing call card
that outlives its session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from bx24app import settings
from bx24app.bitrix24.budget import Priority
from bx24app.domain.settings import LineResponsible, PbxSettings, Settings
from bx24app.models import Portal, db
from bx24app.portals import clients
from bx24app.sandbox.bitrix import calls
from bx24app.web.base import session
from bx24app.web.base.session import PlacementSession
from scripts import needs
from tests.browser import every_page
from tests.browser.every_page import STOPS
from tests.support.browser_walk import picture
from tests.support.demo_data import ALLA, CLIENT, DOCUMENT, ILYA, DemoPortal, demo_portal
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import until

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]
LANGS = pytest.mark.parametrize("lang", ["ru", "en"])
MOSCOW = DOCUMENT.pbxs[0]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[DemoPortal]:
    with demo_portal(tmp_path_factory.mktemp("setting-up"), valkey_url) as made:
        yield made


def put(room: DemoPortal, moscow: PbxSettings) -> None:
    """Settings as somebody left them, with this PBX."""
    with room.earth.app.app_context():
        row = db.session.get_one(Portal, room.known["portal"])
        settings.save_version(
            row,
            DOCUMENT.model_copy(update={"pbxs": (moscow, *DOCUMENT.pbxs[1:])}),
            {},
            author=1,
            source="frame",
            note="",
        )
        db.session.commit()
        db.session.remove()


def held(room: DemoPortal) -> Settings:
    with room.earth.app.app_context():
        found = settings.current(db.session.get_one(Portal, room.known["portal"]))
        db.session.remove()
    return found


def looked_at(page: Page, frame: Frame, name: str) -> None:
    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 860})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            picture(page, f"{name}-{width}-{scheme}")
            assert every_page.unfit(frame) == [], (width, scheme)
            assert every_page.sideways(page) == []
    page.set_viewport_size({"width": 1280, "height": 860})
    page.emulate_media(color_scheme="light")




@LANGS
def test_a_line_gets_its_people_in_the_checklist(room: DemoPortal, browser: Browser, lang: str) -> None:
    lines = (MOSCOW.lines[0], MOSCOW.lines[1].model_copy(update={"responsible": LineResponsible()}))
    put(room, MOSCOW.model_copy(update={"lines": lines}))
    with every_page.visitor(room, browser, lang) as (page, watch):
        frame = every_page.opened(page, room)
        line = frame.get_by_test_id("open-74950000002")
        expect(line).to_be_visible()
        looked_at(page, frame, f"step-lines-{lang}")
        line.locator("[data-pick]").click()
        picker = page.locator("form.picker")
        picker.get_by_text("Илья Дорохов").click()
        picker.get_by_role("button", name="Choose").click()
        expect(line).to_contain_text("Илья Дорохов")
        line.locator("input[type=text]").fill("Реклама, зима")
        expect(frame.get_by_test_id("step-lines-form").locator(".changed")).to_be_visible()
        frame.get_by_test_id("tab-policy").click()
        expect(frame.get_by_test_id("ask-yes")).to_be_visible()
        frame.get_by_test_id("ask-no").click()
        frame.get_by_test_id("step-lines-save").click()
        expect(frame.get_by_test_id("saved")).to_be_visible()
        expect(frame.get_by_test_id("step-lines-form")).to_have_count(0)
        assert watch.errors == []
    found = held(room).by_key["moscow"].lines[1]
    assert (found.name, found.responsible.users) == ("Реклама, зима", (ILYA,))


@LANGS
def test_employees_from_a_file_are_shown_before_they_are_taken(room: DemoPortal, browser: Browser, lang: str) -> None:
    put(room, MOSCOW)
    text = "Добавочный;Сотрудник;Мобильный\r\n101;Илья Дорохов;\r\n102;;\r\n104;Софья Ильина;+7 916 000-01-04\r\n105;Никто Такой;\r\n"  # noqa: E501
    with every_page.visitor(room, browser, lang) as (page, watch):
        frame = every_page.opened(page, room)
        every_page.go(frame, next(stop for stop in STOPS if stop.name == "employees"), room.known)
        frame.get_by_test_id("to-file").click()
        frame.locator("input[type=file]").set_input_files(
            {"name": "staff.csv", "mimeType": "text/csv", "buffer": text.encode("cp1251")}
        )
        frame.get_by_test_id("preview-file").click()
        preview = frame.get_by_test_id("preview")
        expect(preview).to_be_visible()
        expect(preview.get_by_test_id("file-faults")).to_contain_text("Никто Такой")
        for extension in ("101", "102", "104"):
            expect(preview.get_by_test_id(f"change-{extension}")).to_be_visible()
        expect(preview.get_by_test_id("stops")).to_be_visible()
        looked_at(page, frame, f"employees-preview-{lang}")
        assert held(room).by_key["moscow"].by_extension["101"].user_id == ALLA
        frame.get_by_test_id("apply").click()
        expect(frame.get_by_test_id("saved")).to_be_visible()
        assert watch.errors == []
    assert {one.extension for one in held(room).by_key["moscow"].employees} == {"101", "103", "104"}


@LANGS
def test_the_tab_in_a_call_card_outlives_its_session(
    room: DemoPortal, browser: Browser, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = room.earth.portal
    app = next(iter(portal.apps.values()))
    until(lambda: has_room_for_views(room), "the portal's budget was never filled")  # else a tab says "busy"
    with every_page.visitor(room, browser, lang) as (page, watch):
        page.goto(f"{portal.url}/crm/lead/list/")
        order = calls.CallRegistration(1, CLIENT, 2, None, "74950000001", f"tab-{lang}", False, "", None, True)
        ringing = room.earth.sandbox.call(calls.register_call, portal, app, order)
        card = page.locator("section.callcard")
        expect(card).to_contain_text(CLIENT.lstrip("+"))
        card.get_by_role("button", name=re.compile("Звонки клиента|Client.s calls")).click()
        inside = card.frame_locator("iframe")
        rows = inside.locator("tr[data-testid^=call-]")
        expect(rows.first).to_be_visible(timeout=30_000)
        expect(card.get_by_role("button", name="Close the card")).to_be_in_viewport()  # however many calls there are
        picture(page, f"call-card-{lang}")
        frame = page.frames[-1]
        assert every_page.unfit(frame) == []
        assert every_page.sideways(page) == []
        refused: list[str] = []
        still = session.read_placement

        def read(text: str, seconds: int = 0) -> PlacementSession:
            if not refused and not seconds:
                refused.append(text)
                raise session.NoSession(is_stale=True)
            return still(text, seconds)

        monkeypatch.setattr(session, "read_placement", read)
        with page.expect_request(re.compile("/place/renew")):
            inside.locator("[data-play]").first.click()
        expect(inside.get_by_test_id("audio")).to_be_visible()
        assert len(refused) == 1
        assert [error for error in watch.errors if "401" not in error] == []
        room.earth.sandbox.call(calls.hide_card, portal, ringing.call_id, [1], "test")


def has_room_for_views(room: DemoPortal) -> bool:
    """Are a tab's requests left beyond what is kept for calls? The installation has just used most of them."""
    with room.earth.app.app_context():
        budget = clients.portal_budget(room.earth.portal_row()["id"])
        db.session.rollback()
        return budget.available_requests() > Priority.VIEW + 20


FORMS = {
    "pbx-edit": "[name=name]",
    "lines": "[name=line-0-name]",
    "employees": "[name=row-0-numbers]",
    "policy": "[name=min_seconds]",
    "rules": "[data-testid=cell-new-working] select",
}
"""Page -> a field of its form."""


@pytest.mark.parametrize("name", FORMS)
def test_every_form_announces_what_is_not_saved(room: DemoPortal, browser: Browser, name: str) -> None:
    put(room, MOSCOW)
    with every_page.visitor(room, browser, "en") as (page, watch):
        frame = every_page.opened(page, room)
        every_page.go(frame, next(stop for stop in STOPS if stop.name == name), room.known)
        field = frame.locator(FORMS[name]).first
        announced = frame.locator("form[data-watch] .changed").first
        expect(announced).to_be_hidden()
        if name == "rules":
            field.select_option("deal")
        else:
            field.fill("7")
        expect(announced).to_be_visible()
        frame.get_by_test_id("tab-history").click()
        expect(frame.get_by_test_id("ask-yes")).to_be_visible()
        frame.get_by_test_id("ask-no").click()
        expect(announced).to_be_visible()
        frame.get_by_test_id("tab-history").click()
        frame.get_by_test_id("ask-yes").click()
        expect(frame.get_by_test_id("history")).to_be_visible()
        assert watch.errors == []
