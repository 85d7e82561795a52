"""Connecting, changing and removing a PBX in the frame."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.domain.settings import PbxSettings, Settings
from bx24app.models import Backfill, SettingsVersion, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.support.frame_pages import API_KEY, API_SALT, FakeMango, Frame, frame, has, mango, wrong

__all__ = ["frame", "mango"]
NEW = {"name": "Moscow office", "key": "", "dialects": "vpbx", "api_key": API_KEY, "api_salt": API_SALT}


def test_connecting_tries_the_keys_saves_the_lines_and_shows_the_address(frame: Frame, mango: FakeMango) -> None:
    assert has(frame.get("/frame/pbxs"), "no-pbx")
    said = frame.post("/frame/pbxs", NEW)
    assert has(said, "connected")
    pbx = frame.settings().pbxs[0]
    assert (pbx.key, pbx.name, [line.number for line in pbx.lines]) == (
        "moscow-office", "Moscow office", ["74951234567", "78121234567"],
    )  # fmt: skip
    with frame.site.app_context():
        row = db.session.query(PbxRow).filter_by(key="moscow-office").one()
        assert (row.api_key, row.api_salt) == (API_KEY, API_SALT)
        assert f"/mango/{row.hook_key}" in said
        assert f"/mango?pbx={row.hook_key}" in said
        version = db.session.query(SettingsVersion).order_by(SettingsVersion.number).first()
        assert version is not None
        assert (version.author, version.source, version.note) == (7, "frame", "PBX Moscow office connected")
        assert API_SALT not in str(version.document)
    assert [(one.extension, one.user_id) for one in pbx.employees] == [("101", 11), ("102", 12)], (
        "sure suggestions are taken"
    )
    assert "2 extensions are matched" in said
    assert "•" in said
    assert API_SALT not in said


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"name": "", "api_key": "", "api_salt": ""}, {"name", "api_key", "api_salt"}),
        ({"dialects": []}, {"dialects"}),
        ({"api_salt": ""}, {"api_salt"}),
        ({"key": "Not A Key"}, {"key"}),
        ({"api_key": "o" * 32}, {"api_key"}),
        ({"api_salt": "o" * 32}, {"api_salt"}),
    ],
)
def test_faults_stand_at_their_fields(frame: Frame, mango: FakeMango, form: dict[str, str], fields: set[str]) -> None:
    said = frame.post("/frame/pbxs", NEW | form)
    assert set(wrong(said)) == fields
    assert has(said, "wrong")
    assert frame.number() == 0
    assert len(mango.requests) <= 1
    if form.get("name") is None:
        assert "Moscow office" in said, "what was typed is still there"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("address_refused", "allowed addresses"),
        ("unreachable", "cannot be reached"),
        ("busy", "busy"),
        ("refused", "detail"),
    ],
)
def test_what_no_field_is_to_blame_for_stands_on_top(frame: Frame, mango: FakeMango, state: str, words: str) -> None:
    mango.state = state
    said = frame.post("/frame/pbxs", NEW)
    assert words in said
    assert wrong(said) == {}
    assert frame.number() == 0


def test_short_events_alone_need_no_key(frame: Frame, mango: FakeMango) -> None:
    said = frame.post("/frame/pbxs", NEW | {"dialects": "events", "api_key": "", "api_salt": ""})
    assert has(said, "connected")
    assert mango.requests == []
    assert frame.settings().pbxs[0].dialects == ("events",)


def test_a_short_name_is_made_of_the_name_and_stays_unique(frame: Frame, mango: FakeMango) -> None:
    for number, name in enumerate(("Екатеринбург Щорса", "Екатеринбург Щорса", "北京")):
        frame.post("/frame/pbxs", NEW | {"name": name, "api_key": f"{number}".rjust(32, "k")})
    assert [pbx.key for pbx in frame.settings().pbxs] == ["ekaterinburg-sch", "ekaterinburg-sch-2", "pbx"]
    assert wrong(frame.post("/frame/pbxs", NEW | {"key": "pbx"})) == {"key": "Another PBX has this short name."}


def test_lines_of_another_pbx_are_not_taken_twice(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    frame.post("/frame/pbxs", NEW | {"name": "Second", "api_key": "k2".ljust(32, "k")})
    assert [len(pbx.lines) for pbx in frame.settings().pbxs] == [2, 0]


def test_changing_keeps_the_keys_unless_new_ones_are_given(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    mango.requests.clear()
    form = {"name": "Renamed", "dialects": ["vpbx", "events"], "default_user_id": "12"}
    assert has(frame.post("/frame/pbxs/moscow-office", form), "saved")
    pbx = frame.settings().pbxs[0]
    assert (pbx.name, pbx.dialects, pbx.default_user_id, len(pbx.lines)) == ("Renamed", ("vpbx", "events"), 12, 2)
    assert mango.requests == []
    other = form | {"api_key": "o" * 32, "api_salt": API_SALT}
    assert wrong(frame.post("/frame/pbxs/moscow-office", other)).keys() == {"api_key"}
    with frame.site.app_context():
        assert db.session.query(PbxRow.api_key).filter_by(key="moscow-office").scalar() == API_KEY


def test_secrets_are_never_shown_again(frame: Frame, mango: FakeMango) -> None:
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", name="M"),)), ("0123456789abcdef", "fedcba9876543210"))
    for path in ("/frame/pbxs", "/frame/pbxs/moscow", "/frame/pbxs/moscow/edit", "/frame"):
        said = frame.get(path)
        assert "0123456789" not in said
        assert "fedcba" not in said
        assert "3210" not in said
    assert "cdef" in frame.get("/frame/pbxs/moscow")


def test_the_light_turns_by_itself(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    assert 'data-state="waiting"' in frame.get("/frame/pbxs/moscow-office/pulse")
    assert 'hx-trigger="every 2s"' in frame.get("/frame/pbxs/moscow-office/pulse")
    for values, state in (
        ({"last_notification_at": utcnow()}, "good"),
        ({"refused_count": 3, "refused_since": utcnow()}, "refused"),
    ):
        with frame.site.app_context():
            db.session.query(PbxRow).filter_by(key="moscow-office").update(values)
            db.session.commit()
        assert f'data-state="{state}"' in frame.get("/frame/pbxs/moscow-office/pulse")


def test_removing_tells_what_stops_and_asks_first(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    said = frame.get("/frame/pbxs/moscow-office/remove")
    assert "2 lines, 2 employees (0 calls in the last 24 hours)" in said
    for form in ({}, {"confirm": "another"}):
        frame.post("/frame/pbxs/moscow-office/remove", form)
        assert len(frame.settings().pbxs) == 1
    frame.post("/frame/pbxs/moscow-office/remove", {"confirm": "moscow-office"})
    assert frame.settings().pbxs == ()
    with frame.site.app_context():
        assert db.session.query(PbxRow.removed_at).filter_by(key="moscow-office").scalar() is not None


def test_new_keys_fetch_the_calls_since_the_first_refusal(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    change = {"name": "Moscow office", "dialects": "vpbx", "api_key": API_KEY, "api_salt": API_SALT}
    frame.post("/frame/pbxs/moscow-office", change)
    with frame.site.app_context():
        assert db.session.query(Backfill).count() == 0, "nothing was refused, so nothing is missing"
        since = utcnow() - timedelta(hours=3)
        db.session.query(PbxRow).filter_by(key="moscow-office").update({"refused_count": 9, "refused_since": since})
        db.session.commit()
    frame.post("/frame/pbxs/moscow-office", {"name": "Renamed", "dialects": "vpbx"})
    with frame.site.app_context():
        assert db.session.query(Backfill).count() == 0, "the keys are the old ones"
    frame.post("/frame/pbxs/moscow-office", change)
    with frame.site.app_context():
        [row] = db.session.query(Backfill)
        assert since - timedelta(minutes=6) < row.start <= since
        assert row.end > since
        assert not row.records


def test_two_administrators_do_not_overwrite_each_other(frame: Frame, mango: FakeMango) -> None:
    frame.post("/frame/pbxs", NEW)
    seen = frame.number()
    frame.save(
        frame.settings().model_copy(update={"calls": frame.settings().calls.model_copy(update={"card": "never"})})
    )
    said = frame.post(
        "/frame/pbxs/moscow-office", {"version": str(seen), "name": "Mine", "dialects": "vpbx"}, status=409
    )
    assert has(said, "conflict")
    assert "Other Admin" in said
    assert "theirs" in said
    assert 'value="Mine"' in said, "what was typed is still there"
    assert f'name="version" value="{seen + 1}"' in said, "saving again applies it to theirs"
    assert frame.settings().pbxs[0].name == "Moscow office"
    frame.post("/frame/pbxs/moscow-office", {"name": "Mine", "dialects": "vpbx"})
    assert (frame.settings().pbxs[0].name, frame.settings().calls.card) == ("Mine", "never")


@pytest.mark.parametrize("version", ["", "-1", "x", "999"])
def test_a_save_without_the_version_it_saw_is_a_conflict(frame: Frame, mango: FakeMango, version: str) -> None:
    frame.post("/frame/pbxs", NEW | {"version": version}, status=409)
    assert frame.number() == 0


def test_a_pbx_of_nobody_is_404(frame: Frame, client: object) -> None:
    for path in ("", "/edit", "/pulse", "/remove", "/lines", "/employees"):
        said = frame._client.get(f"/frame/pbxs/nowhere{path}", headers=frame._headers)
        assert said.status_code == 404
