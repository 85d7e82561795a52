"""Every page, with hostile names in every place that others may fill: nothing of them is markup, and every answer has
its headers.
"""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app import settings
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Notify
from bx24app.domain.settings import Settings
from bx24app.models import Base, Call, Delivery, Notification, Pbx, Portal, PortalUser, Recording, db, utcnow
from bx24app.web.base.guards import require_frame_admin, require_frame_session, require_placement_session
from tests.security.test_tenants import guarded, headers_of
from tests.web.conftest import client, site

__all__ = ["client", "site"]
EVIL = "\"'><script>x()</script>{{7*7}}"
SPELT = re.compile(r"<script>x\(\)|[^&\\]\"'><|>\s*49\s*<")
"""The payload where it is markup, ends an attribute, or was computed."""
INLINE = re.compile(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:")


@pytest.fixture
def infested(site: Flask) -> dict[str, int]:
    with site.app_context():
        portal = Portal(
            member_id="1" * 32, domain="portal.example.ru", client_endpoint="https://portal.example.ru/rest/", server_endpoint="https://oauth.bitrix.info",
            client_id="local.1", state="active",
        )  # fmt: skip
        db.session.add(portal)
        db.session.flush()
        pbx = {
            "key": "moscow",
            "name": EVIL,
            "dialects": ["vpbx"],
            "lines": [{"number": "74950000001", "name": EVIL}],
            "employees": [{"extension": "101", "user_id": 8}],
        }
        rule = {"name": EVIL, "when": {"direction": "in"}, "do": [{"comment": {"text": "<script>x()</script>\"'>"}}]}
        settings.save_version(
            portal,
            Settings.model_validate({"pbxs": [pbx], "rules": [rule]}),
            {"moscow": ("key", "salt")},
            note=EVIL,
            author=8,
        )
        settings.save_version(portal, Settings.model_validate({"pbxs": [pbx]}), note=EVIL, author=8)
        row = db.session.query(Pbx).one()
        row.ask_problem = EVIL
        call = Call(
            portal_id=portal.id,
            pbx_id=row.id,
            pbx_key="moscow",
            entry_id=EVIL,
            started_at=utcnow(),
            state="finished",
            outcome="missed",
            client_number=EVIL,
            direction="in",
            line_number="74950000001",
            rule=EVIL,
            problem=EVIL,
            unmapped=EVIL,
            continues=EVIL,
            user_id=8,
            users=[8],
            crm=[{"entity": "lead", "id": 1}],
            settings_version_id=portal.settings_version_id,
        )
        db.session.add(call)
        db.session.flush()
        rows: list[Base] = [
            PortalUser(portal_id=portal.id, user_id=8, name=EVIL, email=EVIL, inner_number=EVIL, phones=[EVIL]),
            Delivery(
                portal_id=portal.id,
                call_id=call.id,
                key="k",
                kind="Notify",
                command=to_json(Notify(key="k", user_id=8, text=EVIL)),
                state="dead",
                code=EVIL,
                reason=EVIL,
            ),
            Recording(
                portal_id=portal.id, call_id=call.id, recording_id=EVIL, state="lost", problem=EVIL, file_name=EVIL
            ),
            Notification(
                portal_id=portal.id,
                pbx_id=row.id,
                dialect="vpbx",
                name=EVIL,
                entry_id=EVIL,
                dedup_key="d",
                body='{"call_state": "<script>x()</script>", "to": {"extension": "<script>x()</script>"}}',
                state="rejected",
                reason=EVIL,
            ),
        ]
        db.session.add_all(rows)
        db.session.commit()
        return {"portal": portal.id, "call_id": call.id, "recording_id": rows[2].id, "row_id": rows[3].id}  # type: ignore[attr-defined]


def test_hostile_names_are_only_names(
    site: Flask, client: FlaskClient, infested: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, named = 0, 0
    values = {"key": "moscow", "number": 2, **infested}
    for rule, guard in guarded(site):
        if "GET" not in (rule.methods or ()):
            continue
        kinds = ("dead", "waiting", "recordings", "rejected", "set_aside") if "kind" in rule.arguments else ("",)
        for kind in kinds:
            given = {name: kind if name == "kind" else values[name] for name in rule.arguments}
            address = site.url_map.bind("localhost").build(rule.endpoint, given)
            for header in ({}, {"HX-Request": "true"}):
                said = client.get(address, headers=headers_of(site, infested["portal"], guard) | header)
                assert said.status_code == 200, f"{address}: {said.status_code}"
                assert not SPELT.search(said.text), f"{address}: {SPELT.search(said.text)}"
                assert not INLINE.search(said.text.replace("&lt;script", "")), address
                judge_headers(said.headers, address)
                named += "x()" in said.text
                seen += 1
    assert guard in (require_frame_admin, require_frame_session, require_placement_session)
    assert seen > 40
    assert named > 20, "the names must really be on the pages"


def judge_headers(headers: object, address: str) -> None:
    policy = headers["Content-Security-Policy"]  # type: ignore[index]
    assert "unsafe" not in policy, address
    assert re.search(r"frame-ancestors (https://portal\.example\.ru|'none')(;|$)", policy), (address, policy)
    assert headers["Cache-Control"] == "no-store", address  # type: ignore[index]
    assert headers["Referrer-Policy"] == "no-referrer", address  # type: ignore[index]
    assert headers["X-Content-Type-Options"] == "nosniff", address  # type: ignore[index]


def test_what_is_open_to_all_has_its_headers_too(site: Flask, client: FlaskClient) -> None:
    for address in (
        "/",
        "/install",
        "/privacy",
        "/healthz",
        "/readyz",
        "/metrics",
        "/nowhere",
        "/mango/unknown",
        "/media/recording/1",
        "/oauth/start",
    ):
        headers = client.get(address).headers
        judge_headers(headers, address)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], address
        assert "Set-Cookie" not in headers


KEPT_BY_BROWSERS = {"assets.serve_file", "static"}
"""Files of our own, under names that change with their content: no data of anybody's."""


def test_every_answer_of_every_route_has_its_headers(
    site: Flask, client: FlaskClient, infested: dict[str, int]
) -> None:
    """Whatever it answers: with a session, without one, by every method of the map, to a form that holds nothing."""
    values = {
        "key": "moscow",
        "number": 2,
        "path": "x",
        "filename": "x",
        "file": "x",
        "whose": "all",
        "form": "csv",
        "kind": "dead",
        "entity": "lead",
        **infested,
    }
    with site.app_context():
        frame = headers_of(site, infested["portal"], require_frame_admin)
        tab = headers_of(site, infested["portal"], require_placement_session)
    seen: set[str] = set()
    for rule in site.url_map.iter_rules():
        given = {name: values.get(name, "x") for name in rule.arguments}
        address = site.url_map.bind("localhost").build(rule.endpoint, given)
        for method in sorted((rule.methods or set()) | {"PUT"}):
            for session in ({}, frame, tab):
                said = client.open(address, method=method, headers=session)
                if rule.endpoint not in KEPT_BY_BROWSERS:
                    judge_headers(said.headers, f"{method} {address}")
                assert "Set-Cookie" not in said.headers
                assert said.status_code < 500 or said.headers.get("X-Error") == "portal_silent", (
                    f"{method} {address}: {said.status_code}"
                )
                seen.add(rule.endpoint)
    assert len(seen) > 60
