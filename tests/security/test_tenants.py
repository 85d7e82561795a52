"""Nothing of one portal is seen or changed by another: every route and every command is tried with a second portal's
ids.

Routes come from the map of the app and commands from the command line itself, so a new one is tried without being
written here: where
it takes an id that is not known below, the test fails until somebody says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Table, inspect
from werkzeug.routing import Rule

from bx24app import settings
from bx24app.cli.main import main
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Notify
from bx24app.models import Base, Call, Delivery, Notification, Portal, PortalUser, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.web import ROUTE_TABLE
from bx24app.web.base import session
from bx24app.web.base.guards import Guard, require_frame_admin, require_frame_session, require_placement_session
from tests.conftest import DOCUMENT
from tests.support import commands
from tests.web.conftest import client, site

__all__ = ["client", "site"]
MARK = "Zanzibar"
"""Stands in every text of the second portal; the first one must never be shown it."""
OTHERS = DOCUMENT.model_copy(
    update={"pbxs": (DOCUMENT.pbxs[0].model_copy(update={"key": "zanzibar", "name": f"{MARK} office"}),)}
)


def tenant(number: int) -> dict[str, int]:
    """A portal with a row in every table that pages look at; ids of both portals differ in each."""
    name = MARK if number == 2 else "Moscow"
    portal = Portal(
        member_id=str(number) * 32, domain=f"{name.lower()}.example.ru", client_endpoint=f"https://{name.lower()}.example.ru/rest/",
        server_endpoint="https://oauth.bitrix.info", client_id="local.1", state="active",
    )  # fmt: skip
    db.session.add(portal)
    db.session.flush()
    document = OTHERS if number == 2 else DOCUMENT
    for version in range(number):  # the second portal's newest number is none of the first one's
        settings.save_version(portal, document, {document.pbxs[0].key: ("key", "salt")}, note=f"{name} {version}")
    db.session.add(PortalUser(portal_id=portal.id, user_id=7 + number, name=f"{name} person"))
    pbx = db.session.query(PbxRow).filter_by(portal_id=portal.id).one()
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id,
        pbx_key=pbx.key,
        entry_id=f"{name}-entry",
        started_at=utcnow(),
        state="open",
        client_number=f"+7916000000{number}",
        direction="in",
        line_number="74950000001",
        rule=f"{name} rule",
        problem=f"{name} problem",
    )
    db.session.add(call)
    db.session.flush()
    notice = Notify(key="k", user_id=8, text=f"{name} text")
    rows: list[Base] = [
        Delivery(
            portal_id=portal.id,
            call_id=call.id,
            key="k",
            kind="Notify",
            command=to_json(notice),
            state="dead",
            reason=name,
        ),
        Recording(portal_id=portal.id, call_id=call.id, recording_id=f"{name}-tape", state="lost", problem=name),
        Notification(
            portal_id=portal.id,
            pbx_id=pbx.id,
            dialect="vpbx",
            name="events/call",
            entry_id=f"{name}-entry",
            dedup_key=f"{name}",
            body=f'{{"name": "{name}"}}',
            state="rejected",
            reason=name,
        ),
    ]
    db.session.add_all(rows)
    db.session.commit()
    return {
        "portal": portal.id,
        "call": call.id,
        "delivery": rows[0].id,
        "recording": rows[1].id,
        "notification": rows[2].id,
    }  # type: ignore[attr-defined]


@pytest.fixture
def tenants(site: Flask) -> tuple[dict[str, int], dict[str, int]]:
    with site.app_context():
        return tenant(1), tenant(2)


def parameters(rule: Rule, theirs: dict[str, int]) -> list[dict[str, Any]]:
    """Whatever a route's address can name of the second portal."""
    values: dict[str, Any] = {
        "key": "zanzibar",
        "call_id": theirs["call"],
        "recording_id": theirs["recording"],
        "row_id": theirs["notification"],
        "number": 2,
    }
    kinds = ("dead", "waiting", "recordings", "rejected", "set_aside")
    free = {"form": ("csv", "jsonl"), "kind": kinds, "whose": ("all", "own")}
    found: list[dict[str, Any]] = [{}]
    for name in sorted(rule.arguments):
        assert name in values or name in free, f"{rule}: say above what <{name}> is of another portal"
        choice = free.get(name) or (values[name],)
        found = [one | {name: value} for one in found for value in choice]
    return found


def guarded(site: Flask) -> Iterator[tuple[Rule, Guard]]:
    guards = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    for rule in site.url_map.iter_rules():
        guard = guards.get(rule.endpoint.partition(".")[0])
        if guard in (require_frame_session, require_frame_admin, require_placement_session):
            yield rule, guard


def headers_of(site: Flask, portal_id: int, guard: Guard) -> dict[str, str]:
    with site.app_context():
        member_id = db.session.get_one(Portal, portal_id).member_id
        if guard is require_placement_session:
            place = session.PlacementSession(portal_id, member_id, 8, "en", (("lead", 1),), "+79160000002", ("lead", 1))
            return {session.HEADER: session.issue_placement(place)}
        return {session.HEADER: session.issue(session.FrameSession(portal_id, member_id, 8, True, "en"))}


def state(site: Flask, portal_id: int) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the database holds of a portal."""
    with site.app_context():
        found = {}
        for mapper in Base.registry.mappers:
            table = mapper.local_table
            if "portal_id" in table.columns:  # type: ignore[attr-defined]
                query = table.select().where(table.c.portal_id == portal_id)  # type: ignore[attr-defined]
                found[str(table)] = sorted(map(tuple, db.session.execute(query)), key=str)
        db.session.rollback()
        return found


def test_every_route_of_a_frame_refuses_another_portals_ids(
    site: Flask, client: FlaskClient, tenants: tuple[dict[str, int], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bx24app.portals.sync.fetch_users", lambda *_: None)
    ours, theirs = tenants
    before, tried, named = state(site, theirs["portal"]), 0, 0
    for rule, guard in guarded(site):
        headers = headers_of(site, ours["portal"], guard)
        for values in parameters(rule, theirs):
            address = site.url_map.bind("localhost").build(rule.endpoint, values, force_external=False)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                # ids may travel in forms and queries too: the same values everywhere
                also = {
                    "key": "zanzibar",
                    "confirm": "zanzibar",
                    "pbx": "zanzibar",
                    "call": theirs["call"],
                    "row": theirs["delivery"],
                    "number": "+79160000002",
                    "before": theirs["call"] + 1,
                    "call_id": theirs["call"],
                    "id": theirs["delivery"],
                    "user": 9,
                    "version": 2,
                    "entry_id": f"{MARK}-entry",
                }
                said = client.open(
                    address, method=method, headers=headers, **{"query_string" if method == "GET" else "data": also}
                )
                tried += 1
                owned = set(rule.arguments) & {"key", "call_id", "recording_id", "row_id", "number"}
                where = f"{method} {address}: {said.status_code}"
                assert said.status_code < 500, where
                if owned and rule.endpoint != "undelivered.reread_notifications":
                    named += 1
                    assert said.status_code == 404, where
                shown = said.text.replace("zanzibar", "")  # what was sent may come back; what is stored may not
                assert MARK not in shown, where
    assert tried > 45
    assert named > 15
    assert state(site, theirs["portal"]) == before


def test_tickets_are_of_their_own_portal(
    site: Flask, client: FlaskClient, tenants: tuple[dict[str, int], dict[str, int]]
) -> None:
    ours, theirs = tenants
    with site.app_context():
        forged = session.issue_ticket(session.Ticket(ours["portal"], 8, "recording", theirs["recording"]))
    assert client.get(f"/media/recording/{theirs['recording']}?ticket={forged}").status_code == 404
    mine = headers_of(site, ours["portal"], require_frame_admin)
    url = client.post("/frame/calls/export/csv", headers=mine).get_json()["url"]
    text = client.get(url).text
    assert "Moscow-entry" in text
    assert MARK not in text


def test_a_session_of_one_purpose_or_portal_is_useless_for_another(
    site: Flask, client: FlaskClient, tenants: tuple[dict[str, int], dict[str, int]]
) -> None:
    ours, theirs = tenants
    with site.app_context():
        mixed = session.issue(session.FrameSession(theirs["portal"], "1" * 32, 8, True, "en"))
    assert client.get("/frame/calls", headers={session.HEADER: mixed}).status_code == 401, (
        "portal and member id must agree"
    )
    place = headers_of(site, ours["portal"], require_placement_session)
    frame = headers_of(site, ours["portal"], require_frame_admin)
    assert client.get("/frame/calls", headers=place).status_code == 401
    assert client.get("/place/calls", headers=frame).status_code == 401


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))
    else:
        yield path, command


TENANT_COMMANDS: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    ("settings", "export"): ((), 0),
    ("settings", "import"): (("-",), 0),
    ("rules", "try"): (("--call", f"{MARK}-entry"), 2),
    ("calls", "export"): ((), 0),
    ("replay",): (("--call", f"{MARK}-entry"), 2),
    ("backfill",): (("--from", "2026-01-01", "--to", "2026-01-02", "--pbx", "zanzibar", "--no-follow"), 2),
    ("hooks", "rotate"): (("--pbx", "zanzibar"), 2),
    ("forget",): (("--number", "+79160000002"), 0),
    ("doctor",): (("--live",), 1),
}
"""Commands that name a portal, what else they are given of the second one, and how they end: 2 refuses, 0 found nothing
of it, 1 found that the portal does not answer.
"""


def test_every_command_stays_in_its_portal(site: Flask, tenants: tuple[dict[str, int], dict[str, int]]) -> None:
    config = site.extensions["bx24app"].config
    environ, theirs = commands.environment_of(config), tenants[1]
    before = state(site, theirs["portal"])
    found = {path for path, command in leaves(main) if any(one.name == "member_id" for one in command.params)}
    assert found == set(TENANT_COMMANDS), "say below what a new command is given of another portal"
    for path, (more, ends) in TENANT_COMMANDS.items():
        text = f"policy: {MARK}" if "-" in more else None
        said = commands.run(environ, *path, "--portal", "1" * 32, *more, text=text)
        assert said.exit_code == (2 if text else ends), (path, said.output)
        assert MARK not in said.output.replace(f"{MARK}-entry", "").replace("policy", ""), (path, said.output)
        unknown = commands.run(environ, *path, "--portal", "3" * 32, *more, text=text)
        assert unknown.exit_code == 2, (path, unknown.output)
        assert "no portal with the member_id" in unknown.output
    assert state(site, theirs["portal"]) == before


def test_every_table_names_its_portal() -> None:
    """Directly, or by a row that it cannot be without: else a query could not start from the portal."""
    free = {"registration", "portal", "alembic_version", "database_identity", "worker"}
    for mapper in Base.registry.mappers:
        table = inspect(mapper).local_table
        assert isinstance(table, Table)
        owners = {key.column.table for column in table.columns if not column.nullable for key in column.foreign_keys}
        names_portal = any("portal_id" in named.columns for named in (table, *owners))
        assert table.name in free or names_portal, table.name
