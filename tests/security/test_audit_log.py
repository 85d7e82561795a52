"""The audit log: who did what, and that nobody takes a line back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DatabaseError

from bx24app import create_app
from bx24app.cli import up
from bx24app.cli.main import main
from bx24app.models import Audit, Call, Notification, Portal, audit, db, utcnow
from bx24app.models.append_only import MESSAGE
from bx24app.operations import key_rotation
from scripts import needs
from tests.conftest import config_for
from tests.security.test_tenants import leaves
from tests.support import commands
from tests.support.servers import POSTGRES_MISSING, postgres
from tests.web.conftest import HOOK, claim, client, portal, site

__all__ = ["client", "portal", "site"]
POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)


@pytest.fixture(params=["models", "migrations", POSTGRES])
def kept(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Flask]:
    """A database made from the models, or by the migrations, with one line in its log."""

    def made(url: str) -> Flask:
        (tmp_path / "var").mkdir(exist_ok=True)
        app = create_app(config_for(tmp_path, valkey_url, database_url=url))
        with app.app_context():
            db.create_all() if request.param == "models" else up.migrate_database(app)
            db.session.add(Audit(portal_id=1, user_id=7, source="frame", what="settings saved", facts={}))
            db.session.commit()
        return app

    if request.param == "postgresql":
        with postgres(tmp_path) as url:
            app = made(url)
            yield app
            with app.app_context():
                db.engine.dispose()
    else:
        yield made("")


@pytest.mark.parametrize(
    "change",
    [
        update(Audit).values(what="nothing"),
        delete(Audit),
        text("DELETE FROM audit"),
        text("UPDATE audit SET user_id = 1"),
    ],
)
def test_no_line_is_changed_or_taken_back(kept: Flask, change: object) -> None:
    with kept.app_context():
        with pytest.raises(DatabaseError, match=MESSAGE):
            db.session.execute(change)  # type: ignore[call-overload]
        db.session.rollback()
        assert [(row.what, row.user_id) for row in db.session.query(Audit)] == [("settings saved", 7)]


def whats(site: Flask) -> list[tuple[str, str, int | None]]:
    with site.app_context():
        return [(row.what, row.source, row.user_id) for row in db.session.query(Audit).order_by(Audit.id)]


def test_exports_rotations_and_registrations_leave_a_line(site: Flask, client: FlaskClient, portal: int) -> None:
    assert client.post("/frame/calls/export/csv?q=79161234567", headers=claim(site, portal)).status_code == 200
    environ = commands.environment_of(site.extensions["bx24app"].config)
    for command in (
        ("calls", "export", "--portal", "m" * 32),
        ("settings", "export", "--portal", "m" * 32),
        ("apps", "add", "local.2", "a secret of the registration"),
        ("apps", "add", "local.2", "another secret of it"),
        ("keys", "rotate"),
    ):
        assert commands.run(environ, *command).exit_code == 0, command
    assert whats(site) == [
        ("journal exported", "frame", 7),
        ("journal exported", "cli", None),
        ("settings exported", "cli", None),
        ("registration added", "cli", None),
        ("registration changed", "cli", None),
        ("secrets rotated", "cli", None),
    ]
    with site.app_context():
        held = " ".join(f"{row.facts} {row.address}" for row in db.session.query(Audit))
    assert "secret of" not in held
    assert "7916" not in held


LINES: dict[tuple[str, ...], tuple[tuple[str, ...], set[str]]] = {
    ("settings", "export"): (("--portal", "m" * 32), {"settings exported"}),
    ("rules", "try"): (("--portal", "m" * 32, "--call", "E"), set()),  # only looks
    ("apps", "add"): (("local.3", "secret"), {"registration added"}),
    ("apps", "list"): ((), set()),
    ("portals", "list"): ((), set()),
    ("calls", "export"): (("--portal", "m" * 32), {"journal exported"}),
    ("replay",): (("--portal", "m" * 32, "--call", "E"), {"replayed"}),
    ("forget",): (("--portal", "m" * 32, "--number", "+79160000009"), {"forgot"}),
    ("backfill",): (("--portal", "m" * 32, "--from", "2026-01-01", "--to", "2026-01-02", "--no-follow"), {"backfill"}),
    ("hooks", "rotate"): (("--portal", "m" * 32, "--pbx", "moscow"), {"hook key rotated"}),
    ("keys", "new"): ((), set()),  # touches no database
    ("keys", "rotate"): ((), {"secrets rotated"}),
    ("doctor",): ((), set()),  # only looks
    ("settings", "import"): (("--portal", "m" * 32, "-"), {"settings saved"}),  # last, since it takes the PBX away
    ("db", "upgrade"): ((), set()),  # the migrations' own table says when
}
"""Every command but those that run the app, what it is given, and the lines that it leaves. A new command is decided
here.
"""
RUNNING = {"up", "demo", "web", "worker", "cron"}


def test_every_command_leaves_its_line(site: Flask, portal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bx24app.portals.sync.fetch_users", lambda _: {1})
    environ = commands.environment_of(site.extensions["bx24app"].config)
    found = {path for path, _ in leaves(main) if path[0] not in RUNNING}
    assert found == set(LINES), "say above what line a new command leaves"
    with site.app_context():
        base = {"portal_id": portal, "pbx_id": 1, "entry_id": "E"}
        db.session.add(Call(**base, pbx_key="moscow", started_at=utcnow(), state="finished"))
        db.session.add(
            Notification(**base, dialect="vpbx", name="events/call", dedup_key="d", body="{}", state="handled")
        )
        db.session.commit()
    for path, (more, lines) in LINES.items():
        if path == ("db", "upgrade"):
            continue  # the site's tables were made without migrations
        before = len(whats(site))
        said = commands.run(
            environ, *path, *more, text="version: 1\ncalls: {missed: nothing}\n" if "-" in more else None
        )
        left = whats(site)[before:]
        assert {what for what, _, _ in left} == lines, (path, said.output)
        assert {source for _, source, _ in left} <= {"cli"}, path


def test_a_hook_key_is_rotated_from_the_command_line(site: Flask, client: FlaskClient, portal: int) -> None:
    environ = commands.environment_of(site.extensions["bx24app"].config)
    arguments = ("hooks", "rotate", "--portal", "m" * 32, "--pbx", "moscow")
    first = commands.run(environ, *arguments)
    assert first.exit_code == 0, first.output
    address = first.output.strip().rpartition("/mango/")[2]
    assert address != HOOK
    ping = {"vpbx_api_key": "key", "sign": "", "json": ""}
    assert [client.post(f"/mango/{key}/ping", data=ping).status_code for key in (HOOK, address)] == [200, 200], (
        "for 24 h both"
    )
    again = commands.run(environ, *arguments)
    assert (again.exit_code, "would end at once" in again.output) == (2, True)
    assert client.post(f"/mango/{HOOK}/ping", data=ping).status_code == 200
    last = commands.run(environ, *arguments, "--end-old")
    assert last.exit_code == 0
    newest = last.output.strip().rpartition("/mango/")[2]
    assert [client.post(f"/mango/{key}/ping", data=ping).status_code for key in (HOOK, address, newest)] == [
        404,
        200,
        200,
    ]


def test_a_purge_keeps_the_log(site: Flask, portal: int) -> None:
    with site.app_context():
        from bx24app.portals import lifecycle

        audit.record(portal, 7, "frame", "paused")
        lifecycle.remove(db.session.get_one(Portal, portal), clean=True)
        db.session.commit()
        assert lifecycle.purge(portal)
        assert key_rotation.rotate_secrets().undecryptable == []
    assert whats(site)[0] == ("paused", "frame", 7)
