"""Settings of a portal: versions, conflicts, PBX rows that follow, import and export."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet
from flask import Flask

from bx24app import create_app, settings
from bx24app.cli import up
from bx24app.config import load
from bx24app.domain.document import DocumentError
from bx24app.domain.rules import get_parsed_rules
from bx24app.domain.settings import CallSettings, LineSettings, PbxSettings, Rule, Settings
from bx24app.models import Audit, Portal, SettingsVersion, db
from bx24app.models import Pbx as PbxRow
from scripts import needs
from tests.conftest import DOCUMENT, KEY, SALT, make_portal
from tests.support.servers import POSTGRES_MISSING, postgres

TWO = Settings(pbxs=(*DOCUMENT.pbxs, PbxSettings(key="second", dialects=("events",))))


def rows(portal: Portal) -> dict[str, PbxRow]:
    return {row.key: row for row in db.session.query(PbxRow).filter_by(portal_id=portal.id)}


def test_versions_count_and_are_kept(portal: Portal) -> None:
    first = portal.settings_version_id
    version = settings.save(portal, TWO, author=7, source="frame", note="a second office", expected_number=1)
    db.session.commit()
    assert (version.number, version.author, portal.settings_version_id) == (2, 7, version.id)
    assert settings.current(portal) == TWO
    assert settings.of_version(first) == DOCUMENT
    assert [one.number for one in settings.history(portal)] == [2, 1]
    said = db.session.query(Audit).filter_by(portal_id=portal.id, what="settings saved").all()
    assert [(one.user_id, one.facts) for one in said][-1] == (7, {"version": 2})


def test_each_version_is_parsed_once(portal: Portal) -> None:
    assert settings.current(portal) is settings.current(portal)
    settings.save(portal, Settings(rules=(Rule(name="one", do=({"nothing": {}},)),)))
    assert get_parsed_rules(settings.current(portal)) is get_parsed_rules(settings.current(portal))
    assert settings.of_version(None) == Settings()


def test_parsed_versions_are_kept_within_bounds(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.versions, "_CACHE_CAPACITY", 100)
    first = portal.settings_version_id
    held = settings.current(portal)
    others = [settings.save(portal, TWO).id for _ in range(2)]
    assert [settings.of_version(number) for number in others] == [TWO, TWO]
    assert settings.of_version(others[0]) is settings.of_version(others[0])
    assert settings.of_version(first) == held
    assert settings.of_version(first) is not held


def test_who_saw_an_older_version_does_not_overwrite(portal: Portal) -> None:
    settings.save(portal, TWO, expected_number=1)
    db.session.commit()
    with pytest.raises(settings.VersionConflict) as caught:
        settings.save(portal, DOCUMENT, expected_number=1)
    assert caught.value.number == 2


def test_what_was_rolled_back_is_not_remembered(portal: Portal) -> None:
    """The next version may get the id that the lost one had."""
    lost = settings.save(portal, TWO)
    lost_id = lost.id
    assert settings.of_version(lost_id) == TWO
    db.session.rollback()
    other = Settings(calls=CallSettings(missed="nothing"))
    kept = settings.save(portal, other)
    db.session.commit()
    assert settings.of_version(kept.id) == other
    assert kept.id == lost_id  # else this test shows nothing


def test_no_id_of_a_version_comes_twice(portal: Portal) -> None:
    """Other processes keep parsed versions by their ids; a purge deletes rows."""
    last = settings.save(portal, TWO).id
    db.session.commit()
    db.session.query(SettingsVersion).delete()
    db.session.commit()
    assert settings.save(portal, DOCUMENT).id > last


def test_pbx_rows_follow(portal: Portal) -> None:
    hook = rows(portal)["moscow"].hook_key
    assert len(hook) >= 22  # 128 bits in base64
    settings.save(portal, TWO)
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
    settings.save(portal, Settings())
    db.session.commit()
    assert rows(portal)["moscow"].removed_at is not None
    settings.import_yaml(portal, "pbxs: [{key: moscow}]")
    db.session.commit()
    row = rows(portal)["moscow"]
    assert (row.removed_at, row.hook_key, row.api_key) == (None, hook, KEY)


def test_export_and_import_change_nothing(portal: Portal) -> None:
    text = settings.export_yaml(portal, "https://calls.example.ru")
    hook = rows(portal)["moscow"].hook_key
    assert yaml.safe_load(text)["pbxs"][0]["webhook_url"] == f"https://calls.example.ru/mango/{hook}"
    assert KEY not in text
    assert SALT not in text
    assert settings.import_yaml(portal, text) == []
    assert [one.number for one in settings.history(portal)] == [1]


def test_an_import_with_new_keys_says_so(portal: Portal) -> None:
    text = (
        settings.export_yaml(portal, "https://x.ru")
        .replace("api_key: null", "api_key: fresh")
        .replace("api_salt: null", "api_salt: salt")
    )
    assert [str(change) for change in settings.import_yaml(portal, text)] == ["+ pbxs.moscow.api_key: (new)"]
    db.session.commit()
    assert (rows(portal)["moscow"].api_key, rows(portal)["moscow"].api_salt) == ("fresh", "salt")
    assert settings.import_yaml(portal, text) == []


def test_an_import_with_faults_changes_nothing(portal: Portal) -> None:
    text = "portal: {default_user_id: 99}\npbxs: []\ncalls: {card: late}"
    with pytest.raises(DocumentError) as caught:
        settings.import_yaml(portal, text, known_users={1})
    db.session.rollback()
    told = {fault.path for fault in caught.value.faults}
    assert told >= {"portal.default_user_id", "calls.card", "pbxs.moscow", "pbxs.moscow.lines.74950000001"}
    assert settings.current(portal) == DOCUMENT


def test_an_order_alone_is_saved(portal: Portal) -> None:
    one, two = (Rule(name=name, do=({"nothing": {}},)) for name in ("one", "two"))
    settings.save(portal, Settings(rules=(one, two)))
    db.session.commit()
    text = "rules: [{name: two, do: [{nothing: {}}]}, {name: one, do: [{nothing: {}}]}]"
    assert [str(change) for change in settings.import_yaml(portal, text)] == ["~ rules (order): [one, two] -> [two, one]"]
    db.session.commit()
    assert [rule.name for rule in get_parsed_rules(settings.current(portal))] == ["two", "one"]


def test_back_to_an_earlier_version(portal: Portal) -> None:
    settings.save(portal, TWO)
    db.session.commit()
    with pytest.raises(settings.VersionConflict):
        settings.roll_back(portal, 1, author=1, expected_number=1)
    version = settings.roll_back(portal, 1, author=1, expected_number=2)
    db.session.commit()
    assert version is not None
    assert (version.number, version.source, version.note) == (3, "rollback", "back to version 1")
    assert settings.current(portal) == DOCUMENT
    assert rows(portal)["second"].removed_at is not None
    assert settings.roll_back(portal, 99, author=1) is None


def test_a_version_of_another_portal_is_not_gone_back_to(app: Flask, portal: Portal) -> None:
    other = make_portal("b" * 32)
    settings.save(other, Settings(pbxs=(PbxSettings(key="theirs", lines=(LineSettings(number="1"),)),)))
    db.session.commit()
    assert settings.roll_back(portal, 2, author=1) is None


@pytest.mark.parametrize(
    "database",
    [
        "sqlite",
        pytest.param(
            "postgresql",
            marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
        ),
    ],
)
def test_two_at_once(database: str, tmp_path: Path) -> None:
    """Both saw version 1: one saves, the other is told. Without an expectation, both save, one after the other."""
    if database == "postgresql":
        with postgres(tmp_path) as url:
            _race(tmp_path, url)
    else:
        _race(tmp_path, "")


def _race(tmp_path: Path, url: str) -> None:
    app = create_app(
        load(
            {"BX24APP_DATA_DIR": str(tmp_path / "var")},
            database_url=url,
            redis_url="redis://127.0.0.1:1",
            secret_key="tests only",
            encryption_keys=(Fernet.generate_key().decode(),),
        )
    )
    up.migrate_database(app)
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
                ends.append(settings.save(portal, TWO, expected_number=expected).number)
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
        numbers = [one.number for one in settings.history(db.session.get_one(Portal, portal_id))]
        db.session.remove()
        db.engine.dispose()
    assert len(ends) == 4
    saved = sorted(end for end in ends if isinstance(end, int))
    assert saved == list(range(2, 2 + len(saved)))
    assert 1 <= len(saved) <= 2
    assert numbers == [*reversed(saved), 1]
