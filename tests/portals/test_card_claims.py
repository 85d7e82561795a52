"""The call card's tab believes neither the number nor the call that the browser names: with a record of their own in
hand, an employee sees and hears nothing of other people's clients.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import requests

from bx24app.models import Call, Recording, db, utcnow
from bx24app.portals import record_access
from bx24app.sandbox.bitrix.state import LEAD, Record
from tests.portals.test_placements import NUMBER, Tabs, tabs
from tests.support.installations import w

__all__ = ["tabs", "w"]
ANNA = 12
SECRET = "+79160000002"
"""The number of Boris' client."""


def session_of(page: requests.Response) -> str:
    match = re.search(r'data-session="([^"]+)"', page.text)
    assert match, page.text
    return match[1]


def prove(tabs: Tabs, path: str, claim: str, **fields: Any) -> requests.Response:
    """A request that carries a fresh token of Anna, as the page's scripts send it."""
    form = tabs.w.sandbox.call(tabs.w.portal.open_form, ANNA, tabs.w.application, "CALL_CARD", {})
    proof = {name: form.fields[name] for name in ("AUTH_ID", "AUTH_EXPIRES", "member_id")}
    data = proof | {"DOMAIN": tabs.w.portal.domain} | {name: str(value) for name, value in fields.items()}
    return requests.post(tabs.w.url + path, data=data, headers={"X-Frame-Session": claim}, timeout=20)


def listed(tabs: Tabs, claim: str) -> set[int]:
    page = requests.get(f"{tabs.w.url}/place/calls/all", headers={"X-Frame-Session": claim}, timeout=20)
    return tabs.shown(page)


def recording_status(tabs: Tabs, claim: str, call_id: int) -> int:
    recording_id = db.session.query(Recording.id).filter_by(call_id=call_id).scalar()
    db.session.rollback()
    url = f"{tabs.w.url}/place/calls/recordings/{recording_id}/ticket"
    return requests.post(url, headers={"X-Frame-Session": claim}, timeout=20).status_code


def give_phone(tabs: Tabs, entity: str, record_id: int, number: str) -> None:
    records: dict[int, Record] = tabs.w.portal.leads if entity == "lead" else tabs.w.portal.contacts
    tabs.w.sandbox.call(tabs.w.portal.crm.attach_value, records[record_id], "PHONE", "WORK", number)


@pytest.fixture
def anna(tabs: Tabs) -> Tabs:
    """Anna may read her own records only: her lead and her contact. Neither carries a telephone."""
    tabs.restrict(ANNA)
    return tabs


OWN = [("LEAD", "lead"), ("CONTACT", "contact"), ("", "")]


@pytest.mark.parametrize(("entity", "own"), OWN)
@pytest.mark.parametrize(
    "claimed",
    [
        {"PHONE_NUMBER": SECRET},
        {"CALL_ID": "externalCall.deal"},
        {"CALL_ID": "externalCall.deal", "PHONE_NUMBER": SECRET},
        {"CALL_ID": "externalCall.lead", "PHONE_NUMBER": SECRET},
    ],
)
def test_an_own_record_opens_no_foreign_number(anna: Tabs, entity: str, own: str, claimed: dict[str, str]) -> None:
    record_id = getattr(anna, own) if own else ""
    page = anna.open(ANNA, "CALL_CARD", CRM_ENTITY_TYPE=entity, CRM_ENTITY_ID=str(record_id), **claimed)
    assert anna.of_deal not in anna.shown(page)
    if "PHONE_NUMBER" not in claimed:
        assert SECRET[-4:] not in page.text, "the number behind somebody else's call"
    claim = session_of(page)
    assert recording_status(anna, claim, anna.of_deal) == 404
    for path in ("/place/renew", "/place/call/client"):
        for kind, attribute in OWN:
            wanted = getattr(anna, attribute) if attribute else ""
            answer = prove(anna, path, claim, CRM_ENTITY_TYPE=kind, CRM_ENTITY_ID=wanted)
            assert answer.status_code == 200
            assert anna.of_deal not in listed(anna, answer.json()["session"]), (path, kind)
            assert recording_status(anna, answer.json()["session"], anna.of_deal) == 404


def test_a_record_that_carries_the_number_opens_it(anna: Tabs) -> None:
    """As the portal says it: by the record's own telephones, or by its search for duplicates."""
    free = anna._call("free", [], user_id=14, number=SECRET)
    card = {"CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": anna.contact, "PHONE_NUMBER": SECRET}
    page = anna.open(ANNA, "CALL_CARD", **card)
    assert anna.shown(page) == {anna.of_contact}, "the contact has no such telephone"
    claim = session_of(page)
    give_phone(anna, "contact", anna.contact, "8 (916) 000-00-02")
    assert anna.shown(anna.open(ANNA, "CALL_CARD", **card)) == {anna.of_contact, anna.of_deal, free}
    assert listed(anna, claim) == {anna.of_contact}, "a session shows what was proven when it began"
    renewed = prove(anna, "/place/renew", claim).json()["session"]
    assert listed(anna, renewed) == {anna.of_contact, anna.of_deal, free}
    away = prove(anna, "/place/call/client", renewed, CRM_ENTITY_TYPE="", CRM_ENTITY_ID="").json()["session"]
    assert listed(anna, away) == set(), "another client, another proof"


def test_calls_of_clients_whom_one_may_not_read_stay_hidden(anna: Tabs) -> None:
    """Anna writes a foreign number into her own lead: calls that belong to another's client are not hers by that."""
    theirs = anna._record(LEAD, {"title": "T", "assignedById": 13})
    of_theirs = anna._call("theirs", [("lead", theirs)], user_id=13, number="+79160000009")
    give_phone(anna, "lead", theirs, "+79160000009")
    give_phone(anna, "lead", anna.lead, "+79160000009")
    give_phone(anna, "contact", anna.contact, "+79160000009")
    card = {"CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": anna.lead, "PHONE_NUMBER": "+79160000009"}
    assert anna.shown(anna.open(ANNA, "CALL_CARD", **card)) == {anna.of_lead, anna.of_contact}, "both carry the number"
    anna.w.portal.leads[theirs].fields["assignedById"] = ANNA
    assert anna.shown(anna.open(ANNA, "CALL_CARD", **card)) == {anna.of_lead, anna.of_contact, of_theirs}


def test_own_calls_with_the_number_are_shown_without_any_proof(anna: Tabs) -> None:
    row = Call(
        portal_id=anna.id, pbx_id=1, pbx_key="moscow", entry_id="own", direction="in", outcome="answered",
        state="finished", client_number=SECRET, started_at=utcnow() - timedelta(hours=2), user_id=13, users=[13, ANNA],
        bitrix_call_id="externalCall.own",
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    own_id = row.id
    db.session.rollback()
    for claimed in ({"CALL_ID": "externalCall.own"}, {"PHONE_NUMBER": SECRET}):
        assert anna.shown(anna.open(ANNA, "CALL_CARD", **claimed)) == {own_id}


def test_the_proof_costs_no_request_of_its_own(anna: Tabs) -> None:
    before = anna.w.portal.hits
    card = {"CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": anna.contact}
    anna.open(ANNA, "CALL_CARD", **card, PHONE_NUMBER=NUMBER)
    assert anna.w.portal.hits == before + 1, "nobody has the number: one batch"
    give_phone(anna, "lead", anna.lead, NUMBER)
    anna.open(ANNA, "CALL_CARD", **card, PHONE_NUMBER=NUMBER)
    assert anna.w.portal.hits == before + 3, "somebody has it: whether the viewer may read them is the second"
    assert anna.w.portal.violations == []


@pytest.mark.parametrize("answer", [None, [], {"CONTACT": "12"}, {"CONTACT": [{}, None, "x", -1, 10**30]}, {"X": [1]}])
def test_a_strange_answer_proves_nothing(answer: Any) -> None:
    class Portal:
        def batch(self, commands: Any, priority: Any) -> dict[str, Any]:
            results = {"record": {"item": {"id": 5, "fm": answer, "contactIds": answer}}, "carriers": answer}
            return {key: record_access.RestResult(results.get(key)) for key, _, _ in commands}

    found = record_access.load_records(Portal(), "contact", 5, NUMBER)  # type: ignore[arg-type]
    assert found == record_access.ReadableRecords((("contact", 5),), None)
