"""Our places in the portal's pages, over real HTTP: bound at the installation and after an update; whoever may not read
a record sees no calls.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import update

from bx24app.infra.runtime import runtime
from bx24app.models import Audit, Call, Grant, Portal, Recording, db, utcnow
from bx24app.portals import clients, install, lifecycle
from bx24app.portals.placements import PLACEMENTS
from bx24app.sandbox.bitrix.state import CONTACT, DEAL, LEAD, Placement
from bx24app.web.base import session
from tests.support.installations import installed, w
from tests.support.stack import CLIENT_ID, World, until

__all__ = ["w"]
NUMBER = "+79160000001"


def placed(w: World) -> set[tuple[str, str]]:
    return {(one.placement, one.handler) for one in w.portal.placements}


def ours(w: World) -> set[tuple[str, str]]:
    return {(code, w.url + place.path) for code, place in PLACEMENTS.items()}


def test_the_installation_places_everything_once(w: World) -> None:
    portal_id = installed(w)
    assert placed(w) == ours(w)
    assert len(w.portal.placements) == len(PLACEMENTS)
    titles = {one.lang_all["ru"]["TITLE"] for one in w.portal.placements}
    assert "Звонки клиента" in titles
    install.set_up_portal(portal_id)
    assert len(w.portal.placements) == len(PLACEMENTS), "a second time changes nothing"
    assert w.portal.violations == []


def test_an_update_places_them_again(w: World) -> None:
    installed(w)
    w.sandbox.call(w.portal.update_version, w.application)
    until(lambda: placed(w) == ours(w), lambda: f"only {placed(w)}")


def test_an_address_that_is_no_longer_ours_goes(w: World) -> None:
    portal_id = installed(w)
    app_id = w.portal.placements[0].app_id
    w.portal.placements.append(Placement(app_id, "CALL_CARD", "https://old.example/place/call"))
    w.portal.placements.append(Placement(app_id, "LEFT_MENU", f"{w.url}/place/menu"))
    install.set_up_portal(portal_id)
    assert placed(w) == ours(w)


def test_somebody_was_quicker(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """placement.get of a moment ago: every bind meets "already binded", which is no failure."""
    portal_id = installed(w)
    everything = install.placements.binding_commands(portals_answer([]), w.url, 50)
    monkeypatch.setattr(install.placements, "binding_commands", lambda *_: everything)
    install.set_up_portal(portal_id)
    assert len(w.portal.placements) == len(PLACEMENTS)
    assert lifecycle.state_of(portal_id) == "active"


def portals_answer(rows: list[Any]) -> Any:
    from bx24app.bitrix24.client import RestResult

    return RestResult(rows)


def test_without_the_scope_calls_go_on(w: World) -> None:
    w.application.scopes = tuple(scope for scope in w.application.scopes if scope != "placement")
    portal_id = installed(w)
    assert w.portal.placements == []
    assert len(w.portal.event_bindings) == len(install.EVENTS)
    assert lifecycle.state_of(portal_id) == "active"


# --- tabs
# --------------------------------------------------------------------------------------------------------------


class Tabs:
    """An installed portal with a lead of Anna (12), a deal of Boris (13), its contact of Anna; three calls."""

    def __init__(self, w: World) -> None:
        self.w, self.id = w, installed(w)
        w.portal.add_user(12, "Anna")
        w.portal.add_user(13, "Boris")
        self.lead = self._record(LEAD, {"title": "L", "assignedById": 12})
        self.contact = self._record(CONTACT, {"name": "C", "assignedById": 12})
        self.deal = self._record(DEAL, {"title": "D", "assignedById": 13, "contactIds": [self.contact]})
        self.of_lead = self._call("lead", [("lead", self.lead)], user_id=12)
        self.of_deal = self._call("deal", [("deal", self.deal)], user_id=13, number="+79160000002")
        self.of_contact = self._call("contact", [("contact", self.contact)], user_id=14, number="+79160000003")

    def _record(self, type_id: int, fields: dict[str, Any]) -> int:
        return int(self.w.sandbox.call(self.w.portal.crm.add_record, type_id, fields, []).id)

    def _call(self, entry: str, records: list[tuple[str, int]], user_id: int, number: str = NUMBER) -> int:
        row = Call(
            portal_id=self.id,
            pbx_id=1,
            pbx_key="moscow",
            entry_id=entry,
            direction="in",
            outcome="answered",
            state="finished",
            client_number=number,
            started_at=utcnow() - timedelta(hours=1),
            talk_seconds=65,
            user_id=user_id,
            bitrix_call_id=f"externalCall.{entry}",
            rule="Night rule",
            crm=[{"entity": entity, "id": record_id, "created": True} for entity, record_id in records],
        )
        db.session.add(row)
        db.session.flush()
        call_id = row.id
        db.session.add(Recording(portal_id=self.id, call_id=call_id, recording_id=f"tape-{entry}", state="attached"))
        db.session.commit()
        return call_id

    def open(self, user_id: int, code: str, **options: Any) -> requests.Response:
        form = self.w.sandbox.call(self.w.portal.open_form, user_id, self.w.application, code, options)
        assert urlsplit(form.url).path == PLACEMENTS[code].path
        return requests.post(form.url, data=form.fields, timeout=20)

    def restrict(self, user_id: int) -> None:
        self.w.portal.users[user_id].rights["others"] = False

    def shown(self, said: requests.Response) -> set[int]:
        assert said.status_code == 200, said.text
        return {int(number) for number in re.findall(r'data-testid="call-(\d+)"', said.text)}


@pytest.fixture
def tabs(w: World) -> Tabs:
    return Tabs(w)


def test_each_record_shows_its_calls(tabs: Tabs) -> None:
    said = tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    assert tabs.shown(said) == {tabs.of_lead}
    assert "Night rule" in said.text
    assert "1:05" in said.text
    assert tabs.shown(tabs.open(12, "CRM_CONTACT_DETAIL_TAB", ID=str(tabs.contact))) == {tabs.of_contact}
    assert tabs.shown(tabs.open(13, "CRM_DEAL_DETAIL_TAB", ID=str(tabs.deal))) == {tabs.of_deal, tabs.of_contact}
    assert tabs.w.portal.violations == []


def test_a_call_that_changes_its_record_changes_the_tab(tabs: Tabs) -> None:
    row = db.session.get_one(Call, tabs.of_lead)
    row.crm = [{"entity": "contact", "id": tabs.contact, "created": False}]
    db.session.commit()
    assert tabs.shown(tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))) == set()
    both = {tabs.of_lead, tabs.of_contact}
    assert tabs.shown(tabs.open(12, "CRM_CONTACT_DETAIL_TAB", ID=str(tabs.contact))) == both


def test_what_the_portal_refuses_the_tab_refuses(tabs: Tabs) -> None:
    tabs.restrict(13)
    said = tabs.open(13, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    assert said.status_code == 403
    assert 'data-kind="record"' in said.text
    assert "916" not in said.text
    said = tabs.open(13, "CRM_DEAL_DETAIL_TAB", ID=str(tabs.deal))
    assert tabs.shown(said) == {tabs.of_deal}, "the contact of the deal is not theirs"


@pytest.mark.parametrize("number", ["", "0", "-1", "99999999", "1 OR 1", "999999999999999999999"])
def test_a_record_that_is_none(tabs: Tabs, number: str) -> None:
    assert tabs.open(1, "CRM_LEAD_DETAIL_TAB", ID=number).status_code == 403


def test_the_call_card_shows_the_client_whom_one_may_read(tabs: Tabs) -> None:
    known = {"CALL_ID": "externalCall.lead", "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": tabs.lead}
    assert tabs.shown(tabs.open(13, "CALL_CARD", **known, PHONE_NUMBER=NUMBER)) == {tabs.of_lead}
    tabs.restrict(13)
    assert tabs.shown(tabs.open(13, "CALL_CARD", **known, PHONE_NUMBER=NUMBER)) == set(), "none of theirs"
    assert tabs.shown(tabs.open(12, "CALL_CARD", PHONE_NUMBER="8 916 000-00-01")) == {tabs.of_lead}, "their own call"
    assert tabs.shown(tabs.open(13, "CALL_CARD", PHONE_NUMBER=NUMBER)) == set(), "nobody's word but the browser's"
    assert tabs.shown(tabs.open(12, "CALL_CARD", CRM_ACTIVITY_ID="undefined", PHONE_NUMBER="")) == set()


def test_a_tab_costs_at_most_two_requests_and_no_profile(tabs: Tabs) -> None:
    before = tabs.w.portal.hits
    tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    assert tabs.w.portal.hits == before + 1
    tabs.open(13, "CRM_DEAL_DETAIL_TAB", ID=str(tabs.deal))
    assert tabs.w.portal.hits == before + 3
    tabs.restrict(13)
    tabs.open(13, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    assert tabs.w.portal.hits == before + 4
    tabs.open(12, "CALL_CARD", PHONE_NUMBER=NUMBER)
    assert tabs.w.portal.hits == before + 4


def test_a_tab_waits_while_calls_need_the_budget(tabs: Tabs) -> None:
    budget = clients.portal_budget(tabs.id)
    while budget.acquire(portals_priority()) == 0:
        pass
    for _ in range(10):  # five seconds away from a turn, however slow this machine is
        budget.acquire()
    before = tabs.w.portal.hits
    said = tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    assert (said.status_code, tabs.w.portal.hits) == (503, before)
    assert budget.acquire() == 0, "a call could still go"


def portals_priority() -> Any:
    from bx24app.bitrix24.budget import Priority

    return Priority.VIEW


def test_recordings_of_the_tab_and_of_no_other_can_be_played(tabs: Tabs) -> None:
    said = tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    claim = re.search(r'data-session="([^"]+)"', said.text)
    play = re.search(r'data-play="([^"]+)"', said.text)
    assert claim
    assert play
    headers = {"X-Frame-Session": claim[1]}
    assert requests.post(tabs.w.url + play[1], headers=headers, timeout=20).json()["url"].startswith("/media/")
    assert [(one.source, one.user_id) for one in db.session.query(Audit).filter_by(what="recording heard")] == [
        ("place", 12)
    ]
    other = db.session.query(Recording.id).filter_by(call_id=tabs.of_deal).scalar()
    db.session.rollback()
    assert (
        requests.post(f"{tabs.w.url}/place/calls/recordings/{other}/ticket", headers=headers, timeout=20).status_code
        == 404
    )
    assert requests.post(tabs.w.url + play[1], timeout=20).status_code == 401
    assert requests.get(f"{tabs.w.url}/frame/calls", headers=headers, timeout=20).status_code == 401, (
        "good for tabs only"
    )


def renewed(tabs: Tabs, held: str, user_id: int, lead: int) -> requests.Response:
    form = tabs.w.sandbox.call(
        tabs.w.portal.open_form, user_id, tabs.w.application, "CRM_LEAD_DETAIL_TAB", {"ID": str(lead)}
    )
    asked = {name: form.fields[name] for name in ("AUTH_ID", "AUTH_EXPIRES", "member_id")} | {
        "DOMAIN": tabs.w.portal.domain
    }
    return requests.post(f"{tabs.w.url}/place/renew", data=asked, headers={"X-Frame-Session": held}, timeout=20)


def test_a_tab_that_stays_open_gets_another_session(tabs: Tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    claim = re.search(r'data-session="([^"]+)"', said.text)
    assert claim
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.SESSION_SECONDS + 60)
    calls = f"{tabs.w.url}/place/calls"
    assert requests.get(calls, headers={"X-Frame-Session": claim[1]}, timeout=20).status_code == 401
    fresh = renewed(tabs, claim[1], 12, tabs.lead).json()["session"]
    assert tabs.shown(requests.get(calls, headers={"X-Frame-Session": fresh}, timeout=20)) == {tabs.of_lead}
    assert renewed(tabs, claim[1], 13, tabs.lead).status_code == 401, "somebody else's tab"
    assert renewed(tabs, "forged", 12, tabs.lead).status_code == 401
    tabs.restrict(12)
    tabs.w.portal.leads[tabs.lead].fields["assignedById"] = 13
    assert renewed(tabs, claim[1], 12, tabs.lead).status_code == 403, "the record is no longer theirs to read"
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.TAB_SECONDS + 60)
    assert renewed(tabs, claim[1], 12, tabs.lead).status_code == 401


def test_a_call_card_follows_its_client(tabs: Tabs) -> None:
    """As after `CallCard::EntityChanged`: what the same viewer may read of the new client, and no more than their own
    calls of one they may not.
    """

    def follow(held: str, user_id: int, entity: str, number: object) -> requests.Response:
        form = tabs.w.sandbox.call(tabs.w.portal.open_form, user_id, tabs.w.application, "CALL_CARD", {})
        asked = {name: form.fields[name] for name in ("AUTH_ID", "AUTH_EXPIRES", "member_id")} | {
            "DOMAIN": tabs.w.portal.domain
        }
        asked |= {"CRM_ENTITY_TYPE": entity, "CRM_ENTITY_ID": str(number)}
        return requests.post(
            f"{tabs.w.url}/place/call/client", data=asked, headers={"X-Frame-Session": held}, timeout=20
        )

    def shown(said: requests.Response) -> set[int]:
        headers = {"X-Frame-Session": said.json()["session"]}
        return tabs.shown(requests.get(f"{tabs.w.url}/place/calls/all", headers=headers, timeout=20))

    found = re.search(r'data-session="([^"]+)"', tabs.open(12, "CALL_CARD", PHONE_NUMBER=NUMBER).text)
    assert found
    held = found[1]
    assert shown(follow(held, 12, "CONTACT", tabs.contact)) == {tabs.of_contact, tabs.of_lead}, (
        "the client's, and those with the number"
    )
    assert shown(follow(held, 12, "", "")) == {tabs.of_lead}, "nobody in the CRM: their own with this number"
    assert follow(held, 13, "CONTACT", tabs.contact).status_code == 401, "somebody else's card"
    assert follow("forged", 12, "CONTACT", tabs.contact).status_code == 401
    tabs.restrict(12)
    tabs.w.portal.contacts[tabs.contact].fields["assignedById"] = 13
    assert shown(follow(held, 12, "CONTACT", tabs.contact)) == {tabs.of_lead}


def test_long_histories_come_in_parts(tabs: Tabs) -> None:
    for number in range(25):
        tabs._call(f"more{number}", [("lead", tabs.lead)], user_id=12)
    said = tabs.open(12, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    first = tabs.shown(said)
    more = re.search(r'hx-get="(/place/calls[^"]+)"', said.text)
    claim = re.search(r'data-session="([^"]+)"', said.text)
    assert more
    assert claim
    rest = requests.get(tabs.w.url + more[1].replace("&amp;", "&"), headers={"X-Frame-Session": claim[1]}, timeout=20)
    assert len(first) == 20
    assert len(first | tabs.shown(rest)) == 26
    assert not first & tabs.shown(rest)


def test_forged_openings_are_refused(tabs: Tabs) -> None:
    form = tabs.w.sandbox.call(
        tabs.w.portal.open_form, 12, tabs.w.application, "CRM_LEAD_DETAIL_TAB", {"ID": str(tabs.lead)}
    )
    for forged in ({"AUTH_ID": "forged"}, {"member_id": "f" * 32}, {"AUTH_ID": ""}):
        said = requests.post(form.url, data=form.fields | forged, timeout=20)
        assert said.status_code == 403
        assert "data-session" not in said.text
    other = form.url.replace(f"DOMAIN={tabs.w.portal.domain}".replace(":", "%3A"), "DOMAIN=evil.example")
    assert other != form.url
    assert requests.post(other, data=form.fields, timeout=20).status_code == 403


def test_an_opening_of_a_tab_stores_nothing(tabs: Tabs) -> None:
    before = db.session.get_one(Grant, tabs.id).refresh_token
    db.session.execute(update(Portal).where(Portal.id == tabs.id).values(state="needs_admin", trouble="authorise"))
    db.session.commit()
    tabs.open(1, "CRM_LEAD_DETAIL_TAB", ID=str(tabs.lead))
    db.session.expire_all()
    assert db.session.get_one(Grant, tabs.id).refresh_token == before
    db.session.rollback()


def test_the_telephony_menu_opens_the_statistics(tabs: Tabs) -> None:
    said = tabs.open(1, "TELEPHONY_ANALYTICS_MENU")
    assert 'data-testid="page-statistics"' in said.text
    assert 'data-testid="not-admin"' in tabs.open(12, "TELEPHONY_ANALYTICS_MENU").text


def test_a_portal_that_removed_us_shows_nothing(tabs: Tabs) -> None:
    form = tabs.w.sandbox.call(
        tabs.w.portal.open_form, 12, tabs.w.application, "CRM_LEAD_DETAIL_TAB", {"ID": str(tabs.lead)}
    )
    db.session.execute(update(Portal).where(Portal.id == tabs.id).values(state="removed"))
    db.session.commit()
    said = requests.post(form.url, data=form.fields, timeout=20)
    assert said.status_code == 403
    assert 'data-kind="not_installed"' in said.text
    assert CLIENT_ID in tabs.w.portal.apps
    assert runtime().config.public_url == tabs.w.url
