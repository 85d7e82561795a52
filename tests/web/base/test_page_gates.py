"""Whatever a page asks outside, it asks inside a gate: every route of the map, over a real portal, authorisation server
and Mango.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import request
from requests.adapters import HTTPAdapter
from werkzeug.routing import Rule

from bx24app.calls.journal.search import CallFilter
from bx24app.infra.gate_kinds import KINDS, GateKind
from bx24app.infra.gates import GateClosed, Gates
from bx24app.models import Call, Recording, db, utcnow
from bx24app.portals import reauthorise
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession, PlacementSession, Ticket
from bx24app.web.calls import downloads
from tests.conftest import DOCUMENT, config_for
from tests.support.installations import change, installed
from tests.support.stack import World, world

KINDS_BY_ROUTE = {
    "app_frame.open_app": {"token", "opening"},
    "app_frame.open_install": {"token", "opening"},
    "app_frame.renew_session": {"token", "opening"},
    "app_frame.take_over": {"token", "opening"},
    "app_frame.show_about": {"token"},
    "oauth.callback": {"token"},
    "bitrix24_events.receive_event": {"token", "opening"},
    "placements.open_telephony": {"token", "tab"},
    "placements.show_call_card": {"token", "tab"},
    "placements.show_record": {"token", "tab"},
    "placements.change_client": {"token", "tab"},
    "placements.renew_session": {"token", "tab"},
    "downloads.stream_recording": {"player"},
    "downloads.download_journal": {"export"},
    "pbxs.create": {"pbx"},
    "pbxs.save": {"pbx"},
    "lines.show": {"pbx"},
    "lines.save": {"pbx"},
    "employees.show": {"pbx"},
    "employees.save": {"pbx", "action"},
    "employees.accept_suggestions": {"pbx"},
    "portal_state.check": {"action"},
    "policy.reload_outgoing_line": {"action"},
    "policy.save": {"action"},
    "rules.reload_dictionaries": {"action"},
}
"""Routes that ask somebody outside, by the gates that they pass. A route that is not here asks nobody."""


@pytest.fixture
def office(tmp_path: Path, valkey_url: str) -> Iterator[World]:
    """An installed portal with a PBX of Mango, a call and its recording. No context is active."""
    with world(tmp_path, valkey_url, config_for) as w:
        product = w.sandbox.call(w.mango.add_pbx).pbx
        with w.app.app_context():
            portal_id = installed(w)
        w.connect(DOCUMENT, {"moscow": (product.api_key, product.api_salt)})
        with w.app.app_context():
            names = {"portal_id": portal_id, "pbx_id": 1, "pbx_key": "moscow", "entry_id": "E"}
            call = Call(**names, state="finished", started_at=utcnow())
            db.session.add(call)
            db.session.flush()
            db.session.add(Recording(portal_id=portal_id, call_id=call.id, recording_id="r", part=1, state="attached"))
            db.session.commit()
        yield w


class Outside:
    """Counts what leaves the process to the sandbox, and who passes which gate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.kinds: dict[str, set[str]] = defaultdict(set)
        self.is_closed = False
        send, enter = HTTPAdapter.send, Gates.enter_gate

        def count_sent(adapter: HTTPAdapter, prepared: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
            self.sent.append(str(prepared.url).partition("?")[0])
            return send(adapter, prepared, *args, **options)

        def note_kind(gates: Gates, kind: GateKind, party: str) -> None:
            assert party
            self.kinds[str(request.endpoint)].add(kind.name)
            if self.is_closed:
                raise GateClosed(kind.name, 2.0)
            enter(gates, kind, party)

        monkeypatch.setattr(HTTPAdapter, "send", count_sent)
        monkeypatch.setattr(Gates, "enter_gate", note_kind)


def test_every_route_asks_inside_its_gates_alone(office: World, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Outside(monkeypatch)
    statuses = walk(office)
    assert dict(outside.kinds) == KINDS_BY_ROUTE
    assert {name for names in outside.kinds.values() for name in names} == {kind.name for kind in KINDS}
    assert outside.sent
    assert 500 not in statuses.values(), [route for route, status in statuses.items() if status == 500]


def test_with_all_gates_closed_nobody_is_asked(office: World, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Outside(monkeypatch)
    outside.is_closed = True
    statuses = walk(office)
    assert outside.sent == []
    assert 500 not in statuses.values(), [route for route, status in statuses.items() if status == 500]
    assert statuses["app_frame.open_app", "POST"] == statuses["downloads.stream_recording", "GET"] == 503


SAMPLES = {"key": "moscow", "entity": "lead", "whose": "all", "form": "csv", "kind": "dead", "path": "nobody/ping"}
FIELDS = {
    "name": "Second office", "dialects": "vpbx", "api_key": "k" * 32, "api_salt": "s" * 32, "op": "add", "event": "",
    "default_user_id": "424242", "row-1-extension": "199", "row-1-user": "424242", "version": "1",
    "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": "1", "confirm": "yes",
}  # fmt: skip
"""What a form may hold that makes a page ask: keys that nobody tried, a user whom nobody knows."""


def walk(w: World) -> dict[tuple[str, str], int]:
    """Each route once by each method, with the sessions, tickets and tokens that it wants. Returns the statuses."""
    statuses = {}
    for rule in w.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            statuses[rule.endpoint, method] = visit(w, rule, method)
    return statuses


def visit(w: World, rule: Rule, method: str) -> int:
    w.app.extensions["bx24app"].redis.flushall()  # what was asked once is asked again
    portal_id, member_id = w.portal_row()["id"], w.portal.member_id
    opening = w.sandbox.call(w.portal.open_form, 1, w.application)
    form = {**FIELDS, **opening.fields, "PLACEMENT_OPTIONS": '{"ID": 1, "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": 1}'}
    query = opening.url.partition("?")[2]
    with w.app.app_context():
        if rule.endpoint == "portal_state.check":
            change(portal_id, state="needs_admin", state_before="active", trouble="payment")
        header = session.issue(FrameSession(portal_id, member_id, 1, True))
        if rule.rule.startswith("/place"):
            header = session.issue_placement(PlacementSession(portal_id, member_id, 1, "en", (("lead", 1),)))
        if rule.rule.startswith("/media"):
            query = f"ticket={session.issue_ticket(ticket_for(rule, portal_id))}"
        if rule.endpoint in ("oauth.callback", "app_frame.show_about"):
            query = f"code=c0de&state={authorisation_state(portal_id)}"
    if rule.endpoint == "bitrix24_events.receive_event":
        form |= {"event": "ONAPPINSTALL", "auth[member_id]": member_id, "auth[access_token]": form["AUTH_ID"]}
    given = {name: SAMPLES.get(name, 1) for name in rule.arguments}
    address = w.app.url_map.bind("localhost").build(rule.endpoint, given, method)
    data = form if method == "POST" else None
    answer = w.app.test_client().open(f"{address}?{query}", method=method, data=data, headers={session.HEADER: header})
    return answer.status_code


def ticket_for(rule: Rule, portal_id: int) -> Ticket:
    if rule.endpoint == "downloads.stream_recording":
        return Ticket(portal_id, 1, "recording", 1)
    return Ticket(portal_id, 1, downloads.journal_ticket_kind("csv", "all", CallFilter()), 0)


def authorisation_state(portal_id: int) -> str:
    return parse_qs(urlsplit(reauthorise.start_authorisation(portal_id, 1)).query)["state"][0]
