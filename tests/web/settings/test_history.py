"""The history of settings: who, what, when; two versions compared; back to an earlier one; conflicts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.bitrix24 import errors
from bx24app.domain.settings import (
    CallSettings,
    EmployeeSettings,
    LineResponsible,
    LineSettings,
    PbxSettings,
    Rule,
    Settings,
)
from bx24app.models import Call, SettingsVersion, db, utcnow
from bx24app.portals import sync
from tests.support.frame_pages import Frame, frame, has
from tests.web.conftest import claim

__all__ = ["frame"]
MOSCOW = PbxSettings(
    key="moscow",
    name="Moscow",
    lines=(
        LineSettings(number="74951234567", name="Main"),
        LineSettings(number="74951234568", responsible=LineResponsible(users=(11,))),
    ),
    employees=(EmployeeSettings(extension="101", user_id=11),),
)
FIRST = Settings(pbxs=(MOSCOW,))
SECOND = Settings(
    calls=CallSettings(answered="contact"),
    pbxs=(
        PbxSettings(
            key="moscow", name="Moscow", lines=(LineSettings(number="74951234567", name="Renamed"),),
            employees=(EmployeeSettings(extension="101", user_id=12),),
        ),
    ),
    rules=(Rule(name="Night", when={"hours": "off"}, do=({"nothing": {}},)),),
)  # fmt: skip


@pytest.fixture
def two(frame: Frame) -> Iterator[Frame]:
    """Two versions: a line less, another name, another employee, another policy, one rule."""
    frame.save(FIRST)
    frame.save(SECOND)
    return frame


def plain(text: str) -> str:
    import re

    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def test_the_list_names_every_version(two: Frame) -> None:
    said = two.get("/frame/history")
    assert has(said, "version-1")
    assert has(said, "version-2")
    assert "Other Admin" in said
    assert "theirs" in said
    assert plain(said).count("current") == 1


def test_an_empty_history(frame: Frame) -> None:
    assert has(frame.get("/frame/history"), "no-history")


def test_many_versions_come_by_pages(frame: Frame) -> None:
    for number in range(35):
        frame.save(Settings(pbxs=(PbxSettings(key="moscow", name=f"M{number}"),)))
    said = frame.get("/frame/history")
    assert has(said, "older")
    assert not has(said, "version-5")
    older = frame.get("/frame/history?before=6")
    assert has(older, "version-5")
    assert has(older, "newest")
    assert not has(older, "older")


def test_what_a_version_changed_in_words(two: Frame) -> None:
    said = plain(two.get("/frame/history/2"))
    for words in (
        "Call handling New client, answered call: lead → now contact",
        "Line +7 495 123-45-68 was removed",
        "Line Renamed (+7 495 123-45-67) Name: Main → now Renamed",
        "Extension 101 Employee: Anna Smirnova → now Petrov Ivan",
        "Rule “Night” was added",
        "outside working hours",
    ):
        assert words in said, (words, said)


def test_the_first_version_stands_against_nothing(two: Frame) -> None:
    assert "PBX Moscow was added 2 lines, 1 employee" in plain(two.get("/frame/history/1"))


def test_two_chosen_versions(two: Frame) -> None:
    two.save(FIRST)
    assert has(two.get("/frame/history/3?with=1"), "same")
    assert "between version 1 and version 2" in plain(two.get("/frame/history/1?with=2"))
    assert two._client.get("/frame/history/9", headers=two._headers).status_code == 404


def test_going_back_tells_what_it_stops_and_makes_a_new_version(two: Frame) -> None:
    two.save(FIRST)
    with two.site.app_context():
        yesterday = utcnow() - timedelta(days=1)
        for number, line in enumerate(("74951234568", "+74951234568", "74951234567")):
            db.session.add(
                Call(
                    portal_id=two.portal, pbx_id=1, pbx_key="moscow", entry_id=f"e{number}", line_number=line,
                    started_at=yesterday,
                )
            )  # fmt: skip
        db.session.commit()
    said = two.get("/frame/history/2/back")
    assert "These will stop working: 1 line, 2 calls yesterday." in plain(said)
    said = two.post("/frame/history/2/back", {})
    assert has(said, "saved")
    assert two.settings() == SECOND
    with two.site.app_context():
        row = db.session.query(SettingsVersion).order_by(SettingsVersion.number.desc()).first()
        assert row is not None
        assert (row.number, row.author, row.source, row.note) == (4, 7, "rollback", "Return to version 2")
    assert "return to an earlier version" in two.get("/frame/history")


def test_going_back_is_checked_like_an_import(two: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The employee of the first version was dismissed since, and the portal says so."""
    old = FIRST.model_dump()
    old["pbxs"][0]["employees"][0]["user_id"] = 13
    two.save(Settings.model_validate(old))
    two.save(SECOND)
    monkeypatch.setattr(sync, "fetch_users", lambda portal_id: {1, 11, 12})
    said = two.post("/frame/history/3/back", {})
    assert "no such active employee" in said
    assert two.number() == 4
    monkeypatch.setattr(sync, "fetch_users", _silent)
    assert "cannot be checked" in two.post("/frame/history/3/back", {})
    assert two.number() == 4


def _silent(portal_id: int) -> set[int]:
    raise errors.NotSent("the portal is silent", 1.0)


def test_going_back_over_somebody_elses_change_is_a_conflict(two: Frame) -> None:
    shown = two.number()
    two.save(Settings(pbxs=(PbxSettings(key="moscow", name="Theirs"),)))
    said = two.post("/frame/history/1/back", {"version": str(shown)}, status=409)
    assert has(said, "conflict")
    assert two.settings().pbxs[0].name == "Theirs"


def test_a_conflict_says_what_the_other_administrator_changed(two: Frame) -> None:
    shown = two.number()
    two.save(FIRST)
    said = two.post("/frame/policy", {"version": str(shown), "card": "never"}, status=409)
    assert has(said, "theirs")
    words = plain(said)
    assert "Other Admin" in words
    assert "Line +7 495 123-45-68 was added" in words
    assert "Rule “Night” was removed" in words
    assert two.settings() == FIRST


@pytest.mark.parametrize("path", ["policy", "pbxs/moscow/lines", "pbxs/moscow/employees", "rules"])
def test_an_empty_form_deletes_nothing(two: Frame, path: str) -> None:
    two.post(f"/frame/{path}", {})
    assert two.settings() == SECOND


def test_only_administrators(site: Flask, client: FlaskClient, two: Frame) -> None:
    headers = claim(site, two.portal, admin=False)
    for path in ("/frame/history", "/frame/history/1", "/frame/history/1/back"):
        assert client.get(path, headers=headers).status_code == 403
    assert client.post("/frame/history/1/back", headers=headers).status_code == 403
    assert two.number() == 2
