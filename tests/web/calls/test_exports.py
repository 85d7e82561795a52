"""What stands in an export: no formulas, and for an employee nothing that their pages hide."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Notify
from bx24app.models import Call, Delivery, Notification, PortalUser, Recording, db, utcnow
from tests.web.conftest import claim

FORMULA = '=HYPERLINK("http://evil.example","x")'
ANNA, BORIS = 7, 8


def add_call(portal: int, entry_id: str, users: list[int], **more: Any) -> Call:
    call = Call(
        portal_id=portal, pbx_id=1, pbx_key="moscow", entry_id=entry_id, started_at=utcnow(), state="finished",
        direction="in", outcome="answered", client_number="+79160000001", users=users, user_id=users[-1], **more,
    )  # fmt: skip
    db.session.add(call)
    db.session.flush()
    return call


@pytest.fixture
def calls(site: Flask, portal: int) -> None:
    """A call of Boris, and one of Anna that continues it; each with a step of every kind."""
    with site.app_context():
        first = add_call(portal, "of-boris", [BORIS])
        second = add_call(portal, FORMULA, [ANNA], rule="=1+1", line_number="@SUM(A1)", continues="of-boris")
        facts = second.read_facts()
        facts.continued_call_id = first.id
        second.write_facts(facts)
        for call in (first, second):
            notice = Notify(key="k", user_id=BORIS, text="secret words")
            row = {"portal_id": portal, "call_id": call.id}
            db.session.add(Delivery(key="k", kind="Notify", command=to_json(notice), state="dead", reason="no", **row))
            db.session.add(Recording(recording_id=f"r-{call.id}", state="lost", problem="none", **row))
            db.session.add(
                Notification(
                    portal_id=portal, pbx_id=1, dialect="vpbx", name="events/call", entry_id=call.entry_id,
                    dedup_key=call.entry_id, body="{}", state="handled",
                )
            )  # fmt: skip
        db.session.commit()


def export(client: FlaskClient, headers: dict[str, str], form: str) -> str:
    url = client.post(f"/frame/calls/export/{form}", headers=headers).get_json()["url"]
    return client.get(url).text


def test_no_cell_of_the_journal_is_a_formula(client: FlaskClient, site: Flask, portal: int, calls: None) -> None:
    text = export(client, claim(site, portal), "csv").removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["entry_id"] for row in rows} == {"of-boris", f"'{FORMULA}"}
    cells = [cell for row in rows for cell in row.values() if cell and not cell.startswith("+7916")]
    assert [cell for cell in cells if cell[0] in "=+-@"] == []
    assert {row["client_number"] for row in rows} == {"+79160000001"}, "a telephone is written as the contract says"


def test_an_employees_export_holds_no_more_than_their_pages(
    client: FlaskClient, site: Flask, portal: int, calls: None
) -> None:
    everything = [json.loads(line) for line in export(client, claim(site, portal), "jsonl").splitlines()]
    assert [len(row["trace"]) for row in everything] == [3, 3]
    [own] = export(client, claim(site, portal, admin=False, user_id=ANNA), "jsonl").splitlines()
    row = json.loads(own)
    assert (row["entry_id"], row["trace"], row["continues"]) == (FORMULA, [], None)
    assert set(row) == set(everything[0]), "the columns are the same"
    assert "of-boris" not in own
    with site.app_context():
        first = db.session.query(Call).filter_by(entry_id="of-boris").one()
        first.users = [ANNA, BORIS]
        db.session.commit()
    rows = [json.loads(line) for line in export(client, claim(site, portal, admin=False), "jsonl").splitlines()]
    assert [row["continues"] for row in rows] == [None, "of-boris"], "their own call may be named"


def test_a_dismissed_user_has_no_tickets_any_more(client: FlaskClient, site: Flask, portal: int, calls: None) -> None:
    headers = claim(site, portal)
    with site.app_context():
        recording_id = db.session.query(Recording.id).first()[0]
    urls = [
        client.post(path, headers=headers).get_json()["url"]
        for path in ("/frame/calls/export/csv", f"/frame/calls/recordings/{recording_id}/ticket")
    ]
    with site.app_context():
        db.session.add(PortalUser(portal_id=portal, user_id=ANNA, name="Anna", active=False))
        db.session.commit()
    assert [client.get(url).status_code for url in urls] == [404, 404]
