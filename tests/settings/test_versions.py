"""Settings of a portal: versions, conflicts, PBX rows that follow."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flask import Flask

from bx24app import settings
from bx24app.domain.rules import get_parsed_rules
from bx24app.domain.settings import CallSettings, PbxSettings, Rule, Settings
from bx24app.models import Audit, Portal, SettingsVersion, db
from bx24app.models import Pbx as PbxRow
from tests.conftest import DOCUMENT, KEY, SALT, make_portal
from tests.support.databases import migrated_app, on_both_databases

TWO = Settings(pbxs=(*DOCUMENT.pbxs, PbxSettings(key="second", dialects=("events",))))


def rows(portal: Portal) -> dict[str, PbxRow]:
    return {row.key: row for row in db.session.query(PbxRow).filter_by(portal_id=portal.id)}


def test_versions_count_and_are_kept(portal: Portal) -> None:
    first = portal.settings_version_id
    version = settings.save_version(portal, TWO, author=7, source="frame", note="a second office", expected_number=1)
    db.session.commit()
    assert (version.number, version.author, portal.settings_version_id) == (2, 7, version.id)
    assert settings.current(portal) == TWO
    assert settings.of_version(first) == DOCUMENT
    assert [one.number for one in settings.history(portal.id)] == [2, 1]
    said = db.session.query(Audit).filter_by(portal_id=portal.id, what="settings saved").all()
    assert [(one.user_id, one.facts) for one in said][-1] == (7, {"version": 2})


def test_each_version_is_parsed_once(portal: Portal) -> None:
    assert settings.current(portal) is settings.current(portal)
    settings.save_version(portal, Settings(rules=(Rule(name="one", do=({"nothing": {}},)),)))
    assert get_parsed_rules(settings.current(portal)) is get_parsed_rules(settings.current(portal))
    assert settings.of_version(None) == Settings()


def test_parsed_versions_are_kept_within_bounds(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.versions, "_CACHE_CAPACITY", 100)
    first = portal.settings_version_id
    held = settings.current(portal)
    others = [settings.save_version(portal, TWO).id for _ in range(2)]
    assert [settings.of_version(number) for number in others] == [TWO, TWO]
    assert settings.of_version(others[0]) is settings.of_version(others[0])
    assert settings.of_version(first) == held
    assert settings.of_version(first) is not held


def test_who_saw_an_older_version_does_not_overwrite(portal: Portal) -> None:
    settings.save_version(portal, TWO, expected_number=1)
    db.session.commit()
    with pytest.raises(settings.VersionConflict) as caught:
        settings.save_version(portal, DOCUMENT, expected_number=1)
    assert caught.value.number == 2


def test_what_was_rolled_back_is_not_remembered(portal: Portal) -> None:
    """The next version may get the id that the lost one had."""
    lost = settings.save_version(portal, TWO)
    lost_id = lost.id
    assert settings.of_version(lost_id) == TWO
    db.session.rollback()
    other = Settings(calls=CallSettings(missed="nothing"))
    kept = settings.save_version(portal, other)
    db.session.commit()
    assert settings.of_version(kept.id) == other
    assert kept.id == lost_id  # else this test shows nothing


def test_no_id_of_a_version_comes_twice(portal: Portal) -> None:
    """Other processes keep parsed versions by their ids; a purge deletes rows."""
    last = settings.save_version(portal, TWO).id
    db.session.commit()
    db.session.query(SettingsVersion).delete()
    db.session.commit()
    assert settings.save_version(portal, DOCUMENT).id > last


def test_pbx_rows_follow(portal: Portal) -> None:
    hook = rows(portal)["moscow"].hook_key
    assert len(hook) >= 22  # 128 bits in base64
    settings.save_version(portal, TWO)
    db.session.commit()
    found = rows(portal)
    assert [(row.key, row.position, row.dialects) for row in found.values()] == [
        ("moscow", 0, "vpbx"),
        ("second", 1, "events"),
    ]
    assert (found["moscow"].hook_key, found["moscow"].api_key, found["moscow"].api_salt) == (hook, KEY, SALT)
    assert found["second"].hook_key != hook


def test_a_pbx_that_comes_back_finds_hook_and_secrets(portal: Portal) -> None:
    hook = rows(portal)["moscow"].hook_key
    settings.save_version(portal, Settings())
    db.session.commit()
    assert rows(portal)["moscow"].removed_at is not None
    settings.save_version(portal, Settings(pbxs=(PbxSettings(key="moscow"),)))
    db.session.commit()
    row = rows(portal)["moscow"]
    assert (row.removed_at, row.hook_key, row.api_key) == (None, hook, KEY)


def test_history_and_one_version(portal: Portal) -> None:
    for _ in range(3):
        settings.save_version(portal, TWO)
    db.session.commit()
    assert [row.number for row in settings.history(portal.id, 2)] == [4, 3]
    assert [row.number for row in settings.history(portal.id, below=3)] == [2, 1]
    version = settings.find_version(portal.id, 1)
    assert version is not None
    assert settings.of_version(version.id) == DOCUMENT
    other = make_portal("b" * 32)
    assert settings.find_version(other.id, 4) is None
    assert (settings.current_number(portal), settings.find_version(portal.id, 9)) == (4, None)


@on_both_databases
def test_two_at_once(database: str, tmp_path: Path) -> None:
    """Both saw version 1: one saves, the other is told. Without an expectation, both save, one after the other."""
    with migrated_app(database, tmp_path) as app:
        _race(app)


def _race(app: Flask) -> None:
    with app.app_context():
        portal_id = make_portal().id
        db.session.commit()
        db.session.remove()
    together = threading.Barrier(4, timeout=30)
    ends: list[object] = []

    def save(expected: int | None) -> None:
        with app.app_context():
            portal = db.session.get_one(Portal, portal_id)
            settings.current(portal)
            db.session.rollback()
            together.wait()
            try:
                ends.append(settings.save_version(portal, TWO, expected_number=expected).number)
                db.session.commit()
            except settings.VersionConflict:
                db.session.rollback()
                ends.append("conflict")

    threads = [threading.Thread(target=save, args=(expected,)) for expected in (1, 1, 1, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with app.app_context():
        numbers = [one.number for one in settings.history(portal_id)]
        db.session.remove()
        db.engine.dispose()
    assert len(ends) == 4
    saved = sorted(end for end in ends if isinstance(end, int))
    assert saved == list(range(2, 2 + len(saved)))
    assert 1 <= len(saved) <= 2
    assert numbers == [*reversed(saved), 1]
