"""The journal in headless Chromium: filtered, scrolled, downloaded, a call opened into its time line, its record, what
got stuck tried again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from bx24app.domain.calls import command_json, commands
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Rule, Settings
from bx24app.models import Call, Delivery, Notification, Portal, PortalUser, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.sandbox.bitrix.state import CONTACT
from scripts import needs
from tests.conftest import config_for
from tests.support.browser_walk import Watch, barrier_free, no_wider_than_the_window, picture
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import World, until, world

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]

LINES = (LineSettings(number="74951234567", name="Москва"), LineSettings(number="78121234567", name="Петербург"))
DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow", name="Москва", lines=LINES[:1], employees=(EmployeeSettings(extension="101", user_id=1),)
        ),
        PbxSettings(key="spb", name="Санкт-Петербург", lines=LINES[1:]),
    ),
    rules=(
        Rule(name="Петербург", when={"pbx": "spb"}, do=({"nothing": {}},)),
        Rule(name="Пропущенные", when={"outcome": "missed", "hours": "off"}, do=({"todo": {"title": "Перезвонить"}},)),
        Rule(name="Остальные", when={"direction": "in"}, do=({"nothing": {}},)),
    ),
)
SEEN = {"moment": "end", "direction": "in", "outcome": "answered", "pbx": "moscow", "client": "known"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal with its pages, and 130 calls in the journal. Nothing works on what waits."""
    with world(tmp_path_factory.mktemp("journal"), valkey_url, config_for, pages=True) as made:
        made.portal.limits.rate = 0
        made.work(calls=0, recordings=1)
        made.install()
        until(lambda: people(made), "the portal's users were never read")
        made.connect(DOCUMENT, {"moscow": ("key", "salt"), "spb": ("key2", "salt2")})
        with made.app.app_context():
            fill(made.portal_row()["id"], contact(made))
        yield made


def people(made: World) -> list[int]:
    with made.app.app_context():
        found = list(db.session.scalars(db.select(PortalUser.user_id).order_by(PortalUser.user_id)))
        db.session.rollback()
        return found


def contact(made: World) -> int:
    fields = {"title": "Known", "name": "Пётр", "lastName": "Смирнов", "assignedById": 1}
    phone = [{"typeId": "PHONE", "value": "+79161000000"}]
    return int(made.sandbox.call(made.portal.crm.add_record, CONTACT, fields, phone).id)


def fill(portal_id: int, contact_id: int) -> None:
    """The latest call has everything; the third was refused; each tenth goes through the other PBX."""
    pbxs = {row.key: row.id for row in db.session.scalars(db.select(PbxRow))}
    users = list(
        db.session.scalars(db.select(PortalUser.user_id).where(PortalUser.active).order_by(PortalUser.user_id))
    )
    version = db.session.get_one(Portal, portal_id).settings_version_id
    for number in range(130):
        at = utcnow() - timedelta(minutes=7 * number + 2)
        outcome = ("answered", "answered", "missed", "answered", "failed")[number % 5]
        key = "spb" if number % 10 == 9 else "moscow"
        call = Call(
            portal_id=portal_id,
            pbx_id=pbxs[key],
            pbx_key=key,
            entry_id=f"entry-{number}",
            state="dead" if number == 2 else "finished",
            direction="out" if outcome == "failed" or number % 7 == 3 else "in",
            line_number=LINES[key == "spb"].number,
            client_number=f"+7916{1000000 + number * 7919:07d}",
            started_at=at,
            ended_at=at + timedelta(seconds=200),
            answered_at=at + timedelta(seconds=9) if outcome == "answered" else None,
            talk_seconds=191 if outcome == "answered" else 0,
            outcome=outcome,
            reason=1110,
            user_id=users[number % len(users)],
            users=[users[number % len(users)]],
            settings_version_id=version,
            crm=[
                {"entity": "contact", "id": contact_id, "created": False},
                {"entity": "lead", "id": 7, "created": True},
            ]
            if number % 4 == 0
            else [],
            facts={"seen": SEEN} if number == 0 else {},
            rule="Остальные" if number == 0 else None,
            problem="Недостаточно прав" if number == 2 else None,
        )
        db.session.add(call)
        db.session.flush()
        if outcome == "answered":
            state = "lost" if number == 3 else "attached"
            db.session.add(
                Recording(
                    portal_id=portal_id,
                    call_id=call.id,
                    recording_id=f"r{number}",
                    part=1,
                    user_id=call.user_id,
                    seconds=191,
                    state=state,
                    bitrix_call_id="x",
                    noticed_at=at + timedelta(seconds=205),
                    attached_at=at + timedelta(seconds=212) if state == "attached" else None,
                    lag_seconds=7.0,
                    problem="4002" if state == "lost" else None,
                )
            )
        if number in (0, 2):
            tell(call, refused=number == 2)
    body = json.dumps({"seq": 1, "call_id": "MToxMDAx", "timestamp": 1})
    db.session.add(
        Notification(
            portal_id=portal_id,
            pbx_id=pbxs["moscow"],
            dialect="vpbx",
            name="events/call",
            entry_id="entry-9",
            dedup_key="odd",
            body=body,
            state="rejected",
            reason="call_state: is missing",
        )
    )
    db.session.commit()


def tell(call: Call, *, refused: bool) -> None:
    """What came and what was said of one call."""
    legs = (("Appeared", 0, None), ("Connected", 9, None), ("Disconnected", 200, 1110))
    for state, seconds, why in legs:
        body = {"call_state": state, "to": {"extension": "101"}, **({"disconnect_reason": why} if why else {})}
        db.session.add(
            Notification(
                portal_id=call.portal_id,
                pbx_id=call.pbx_id,
                dialect="vpbx",
                name="events/call",
                entry_id=call.entry_id,
                dedup_key=f"{call.entry_id}{state}",
                body=json.dumps(body),
                state="handled",
                received_at=call.started_at + timedelta(seconds=seconds),
            )
        )
    register = commands.Register(
        key="register", user_id=1, number="+7", type=2, started_at=0, line=None, external_id="e"
    )
    finish = commands.Finish(key="finish", user_id=1, seconds=191, status="200")
    answers: dict[str, dict[str, Any]] = {
        "register": {"call_id": "externalCall.7b1f", "record": {"entity": "contact", "id": 12}},
        "finish": {"activity_id": 31, "created": [{"entity": "lead", "id": 7}]},
    }
    for command, seconds in ((register, 0.2), (finish, 200.3)):
        dead = refused and command is finish
        at = call.started_at + timedelta(seconds=seconds)
        db.session.add(
            Delivery(
                portal_id=call.portal_id,
                call_id=call.id,
                key=command.key,
                kind=type(command).__name__,
                command=command_json.to_json(command),
                state="dead" if dead else "done",
                attempts=1,
                created_at=at,
                sent_at=at + timedelta(seconds=0.1),
                done_at=at + timedelta(seconds=0.34),
                answer=None if dead else answers[command.key],
                code="ACCESS_DENIED" if dead else None,
                reason="Недостаточно прав" if dead else None,
            )
        )


@pytest.fixture(params=["ru", "en"])
def page(office: World, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The journal in one language; nothing may fail on the way."""
    office.portal.lang = request.param
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(30_000)
    page = context.new_page()
    watch = Watch(page, office.url)
    page.goto(f"{office.portal.url}/")
    page.get_by_role("link", name="Open", exact=True).click()
    frame_of(page).get_by_test_id("tab-calls").click()
    expect(frame_of(page).get_by_test_id("calls")).to_be_visible(timeout=30_000)
    yield page
    assert not watch.errors, watch.errors
    assert watch.without_session() == []
    context.close()


def frame_of(page: Page) -> FrameLocator:
    return page.frame_locator("#app iframe")


def rows(app: FrameLocator) -> Any:
    return app.locator("tr[data-entry]")


def shot(page: Page, name: str) -> None:
    """The page wide and narrow, light and dark, where an operator asks for pictures."""
    for width, height in ((1280, 860), (375, 780)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(150)  # the frame takes its content's height
            no_wider_than_the_window(page)
            barrier_free(page)
            picture(page, f"{name}-{width}-{scheme}")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.emulate_media(color_scheme="light")


def test_the_journal_is_filtered_scrolled_and_downloaded(office: World, page: Page, tmp_path: Path) -> None:
    app, lang = frame_of(page), office.portal.lang
    expect(rows(app).first).to_be_visible()
    shot(page, f"calls-{lang}")
    while app.get_by_test_id("more").count():
        before = rows(app).count()
        app.get_by_test_id("more").scroll_into_view_if_needed()
        expect(rows(app).nth(before)).to_be_attached()
    expect(rows(app)).to_have_count(130)

    app.locator("#outcome").select_option("missed")
    expect(rows(app)).to_have_count(26)
    app.locator("#pbx").select_option("moscow")
    app.get_by_test_id("search").fill("916 1")
    app.get_by_test_id("search").press("Enter")
    expect(app.get_by_test_id("reset")).to_be_visible()
    shot(page, f"calls-filtered-{lang}")
    with page.expect_download() as waiting:
        app.get_by_test_id("export-csv").click()
    saved = tmp_path / "calls.csv"
    waiting.value.save_as(saved)
    shown = rows(app).count()
    assert len(saved.read_text("utf-8-sig").splitlines()) == shown + 1
    app.get_by_test_id("search").fill("0000")
    app.get_by_test_id("search").press("Enter")
    expect(app.get_by_test_id("nothing-found")).to_be_visible()
    shot(page, f"calls-nothing-{lang}")
    app.get_by_test_id("reset").click()
    expect(rows(app)).to_have_count(50)


def test_a_call_opens_into_its_time_line_and_back(office: World, page: Page) -> None:
    app, lang = frame_of(page), office.portal.lang
    app.locator("#outcome").select_option("answered")
    expect(app.get_by_test_id("reset")).to_be_visible()
    rows(app).first.locator("a.row").click()
    expect(app.get_by_test_id("trace")).to_contain_text("externalCall.7b1f")
    expect(app.get_by_test_id("rules")).to_contain_text("Остальные")
    shot(page, f"call-{lang}")
    app.get_by_test_id("crm-contact").click()
    slider = page.get_by_role("dialog").locator("iframe")
    expect(slider).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(slider).to_have_count(0)
    app.get_by_test_id("back").click()
    expect(app.locator("#outcome")).to_have_value("answered")


def test_what_got_stuck_is_seen_and_tried_again(office: World, page: Page) -> None:
    app, lang = frame_of(page), office.portal.lang
    with office.app.app_context():
        row = db.session.scalars(
            db.select(Delivery).where(Delivery.kind == "Finish").order_by(Delivery.id.desc())
        ).first()
        assert row is not None
        row.state, row.code, row.reason = "dead", "ACCESS_DENIED", "Недостаточно прав"
        db.session.get_one(Call, row.call_id).state = "dead"
        db.session.commit()
    app.get_by_test_id("refresh").click()
    app.get_by_test_id("tab-calls").click()
    app.get_by_test_id("stuck-dead").click()
    expect(app.get_by_test_id("stuck-rows")).to_be_visible()
    for kind in ("dead", "recordings", "rejected"):
        app.get_by_test_id(f"kind-{kind}").click()
        expect(app.locator(f"[data-testid=kind-{kind}][aria-current]")).to_be_visible()
        shot(page, f"stuck-{kind}-{lang}")
    app.get_by_test_id("kind-dead").click()
    app.locator("[data-testid=stuck-rows] a").first.click()
    expect(app.get_by_test_id("stopped")).to_be_visible()
    shot(page, f"call-refused-{lang}")
    app.get_by_test_id("call-again").click()
    expect(app.get_by_test_id("trace").locator("li.dead")).to_have_count(0)
    app.get_by_test_id("back").click()
    app.get_by_test_id("stuck-waiting").click()
    expect(app.get_by_test_id("stuck-rows")).to_be_visible()
    shot(page, f"stuck-waiting-{lang}")
    app.get_by_test_id("hurry").click()
    expect(app.get_by_test_id("retry-report")).to_be_visible()
