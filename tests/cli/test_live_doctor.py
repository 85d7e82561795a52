"""`bx24app doctor --live`: the answers of a portal and a PBX beside what was assumed, under either reading."""

from __future__ import annotations

import pytest

from bx24app import settings
from bx24app.domain.settings import LineSettings, PbxSettings, Settings
from bx24app.models import Grant, Portal, db
from bx24app.models import Pbx as PbxRow
from bx24app.operations import live_pbx
from tests.conftest import KEY, SALT
from tests.end_to_end.test_rules import ANSWERED
from tests.support import commands
from tests.support.installations import installed, w
from tests.support.replayed_scenario import absorb, as_new_call
from tests.support.stack import World

__all__ = ["w"]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_pbx, "POLL_SECONDS", 0.2)


@pytest.fixture
def environ(w: World) -> dict[str, str]:
    """An installed portal, and a PBX with one answered call, half an hour ago. Gives the variables."""
    portal_id = installed(w)
    board = w.mango.add_pbx(api_key=KEY, api_salt=SALT)
    board.pbx.add_line("74950000001", "Moscow")
    board.pbx.add_employee("101", "Ivanova", mobile="79160000101")
    w.sandbox.call(absorb, w.mango, as_new_call(ANSWERED, ago=1800).notices)
    document = Settings(pbxs=(PbxSettings(key="moscow", lines=(LineSettings(number="74950000001"),)),))
    settings.save_version(db.session.get_one(Portal, portal_id), document, {"moscow": (KEY, SALT)})
    db.session.commit()
    return commands.environment_of(w.config) | {"BX24APP_RECORDING_HOSTS": "127.0.0.1"}


def look(environ: dict[str, str], *more: str) -> tuple[int, list[str]]:
    result = commands.run(environ, "doctor", "--live", *more)
    return result.exit_code, result.output.splitlines()


def line(lines: list[str], subject: str) -> str:
    (found,) = [row for row in lines if f": {subject}: " in row]
    return found


def test_what_was_assumed_is_so(w: World, environ: dict[str, str]) -> None:
    exit_code, lines = look(environ, "--portal", w.portal.member_id)
    assert (exit_code, [row for row in lines if not row.startswith("ok ")]) == (0, []), "\n".join(lines)
    assert "ru_basic basic (a cloud portal" in line(lines, "licence")
    assert "works as user 1, administrator True; assumed user 1" in line(lines, "user")
    assert "missing: none" in line(lines, "scopes")
    assert "data is an array of" in line(lines, "statistics")
    assert "0 of 1 calls" in line(lines, "zone of statistics")
    assert "1 numbers, 0 SIP trunks" in line(lines, "lines")
    assert "files are at 127.0.0.1" in line(lines, "recordings")


def test_nothing_secret_is_printed_and_nothing_changes(w: World, environ: dict[str, str]) -> None:
    before, files = len(w.portal.calls), list(w.portal.files)
    _, lines = look(environ)
    text, grant = "\n".join(lines), db.session.query(Grant).one()
    secrets = [KEY, SALT, grant.access_token, grant.refresh_token, "79160000101", "74950000001"]
    db.session.rollback()
    assert not [secret for secret in secrets if secret in text]
    assert (len(w.portal.calls), list(w.portal.files)) == (before, files)
    assert w.portal.violations == []


def test_what_is_otherwise_is_said(w: World, environ: dict[str, str]) -> None:
    w.portal.license = "ru_selfhosted"
    w.portal.apps[w.application.client_id].scopes.remove("im")
    w.portal.registered_url = "http://second.box.test"
    exit_code, lines = look(environ)
    assert exit_code == 1
    assert line(lines, "licence").startswith("WRONG")
    assert "a box, without a request budget" in line(lines, "licence")
    assert "missing: im" in line(lines, "scopes")
    assert line(lines, "methods").startswith("WRONG")
    assert "im.notify.system.add" in line(lines, "methods")
    assert "registered as http://second.box.test; assumed" in line(lines, "address")
    assert line(lines, "address").startswith("WRONG")


def test_a_wrong_key_is_tried_once(w: World, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Mango locks a key after two wrong requests."""
    db.session.query(PbxRow).update({"api_salt": "x" * 32})
    db.session.commit()
    exit_code, lines = look(environ)
    assert exit_code == 1
    asked = [row for row in lines if "live pbx" in row]
    assert len(asked) == 1
    assert asked[0].startswith("WRONG live pbx moscow: balance: ")
    assert "Nothing more is asked" in asked[0]


def test_another_host_of_recordings_is_named(w: World, environ: dict[str, str]) -> None:
    environ["BX24APP_RECORDING_HOSTS"] = "*.mango-office.ru"
    exit_code, lines = look(environ)
    assert exit_code == 1
    assert line(lines, "recordings").endswith("files are at 127.0.0.1; assumed *.mango-office.ru")
    assert line(lines, "recordings").startswith("WRONG")


def test_each_form_of_the_statistics_is_told(w: World, environ: dict[str, str]) -> None:
    shape = w.mango.board(KEY).statistics_shape
    shape.is_object, shape.has_extensions = True, False
    exit_code, lines = look(environ)
    assert exit_code == 0, "\n".join(lines)
    assert "data is one object" in line(lines, "statistics")
    assert "without an extension" in line(lines, "legs")


def test_statistics_of_another_zone_are_told(w: World, environ: dict[str, str]) -> None:
    """A call of 26 hours ago is in a window of 24 hours, where the PBX reads Moscow's texts in Krasnoyarsk's zone."""
    w.mango.board(KEY).statistics_shape.zone = "Asia/Krasnoyarsk"
    w.sandbox.call(absorb, w.mango, as_new_call(ANSWERED, ago=26 * 3600).notices)
    exit_code, lines = look(environ)
    assert exit_code == 1
    assert line(lines, "zone of statistics").startswith("WRONG")
    assert "1 of 1 calls" in line(lines, "zone of statistics")
    assert "assumed Europe/Moscow" in line(lines, "zone of statistics")
    w.mango.limits.is_enabled = False  # the same questions again at once
    db.session.query(PbxRow).update({"statistics_zone": "Asia/Krasnoyarsk"})
    db.session.commit()
    exit_code, lines = look(environ)
    assert exit_code == 0, "\n".join(lines)
    assert "0 of 1 calls" in line(lines, "zone of statistics")


def test_a_box_that_is_cut_off_says_what_to_allow(w: World, environ: dict[str, str]) -> None:
    w.portal.switches.switch_on("cut_off")
    _, lines = look(environ)
    assert "must reach the authorisation server" in lines[0]
    plain = commands.run(environ, "doctor").output
    assert "must reach the authorisation server" in plain


def test_a_portal_that_does_not_answer_leaves_the_pbx(w: World, environ: dict[str, str]) -> None:
    w.portal.switches.switch_on("http502")
    exit_code, lines = look(environ)
    assert exit_code == 1
    assert sum("live portal" in row for row in lines) == 1
    assert line(lines, "recordings").startswith("ok ")


def test_one_of_several_portals_is_chosen(w: World, environ: dict[str, str]) -> None:
    installed(w, number=1)
    exit_code, lines = look(environ)
    assert (exit_code, len(lines)) == (1, 1)
    assert "choose one by --portal" in lines[0]
    assert look(environ, "--portal", "0" * 32)[0] == 2
    assert look(environ, "--portal", w.sandbox.portals[1].member_id)[0] == 0
