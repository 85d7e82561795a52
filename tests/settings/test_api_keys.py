"""One PBX of Mango Office is connected to a portal once, whoever saves and however many at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bx24app import settings
from bx24app.domain import document
from bx24app.domain.document import DocumentError
from bx24app.domain.settings import Settings
from bx24app.models import Pbx as PbxRow
from bx24app.models import Portal, db
from bx24app.settings import api_keys
from tests.conftest import DOCUMENT, KEY, SALT, make_portal
from tests.settings.test_save import everybody, save
from tests.support.databases import migrated_app, on_both_databases

FRESH = "f" * 32


def pbxs(*pairs: tuple[str, str | None]) -> dict[str, Any]:
    """The stored PBX and others, with these API keys; None: the stored one stays."""
    named = {pbx["key"]: pbx for pbx in document.dump(DOCUMENT)["pbxs"]}
    rows = [named.get(key, {"key": key, "name": key.title()}) for key, _ in pairs]
    keys = [{"api_key": api_key, "api_salt": SALT} if api_key else {} for _, api_key in pairs]
    return {"pbxs": [row | key for row, key in zip(rows, keys, strict=True)]}


def faults(portal: Portal, data: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(DocumentError) as caught:
        save(portal, data)
    return [(fault.code, fault.path, str(fault.params.get("pbx"))) for fault in caught.value.faults]


def test_a_second_pbx_with_a_stored_key_is_refused(portal: Portal) -> None:
    name = DOCUMENT.pbxs[0].name or "moscow"
    for data, position in ((pbxs(("moscow", None), ("b", KEY)), 1), (pbxs(("b", KEY), ("moscow", KEY)), 0)):
        assert faults(portal, data) == [("repeated_api_key", f"pbxs[{position}].api_key", name)]
    assert len(settings.current(portal).pbxs) == 1


def test_the_same_new_key_twice_in_a_document_is_refused(portal: Portal) -> None:
    found = faults(portal, pbxs(("moscow", None), ("b", FRESH), ("c", FRESH)))
    assert found == [("repeated_api_key", "pbxs[2].api_key", "B")]


def test_keys_may_change_their_places(portal: Portal) -> None:
    save(portal, pbxs(("moscow", None), ("b", FRESH)))
    assert save(portal, pbxs(("moscow", FRESH), ("b", KEY))).new_keys == ("moscow", "b")
    assert {name: pair[0] for name, pair in api_keys.load_pairs(portal.id).items()} == {"moscow": FRESH, "b": KEY}


def test_a_removed_pbx_frees_its_key_and_does_not_bring_it_back(portal: Portal) -> None:
    save(portal, pbxs(("b", KEY)))
    back = pbxs(("b", None), ("moscow", None))
    assert faults(portal, back) == [("repeated_api_key", "pbxs[1].api_key", "B")]
    assert save(portal, pbxs(("moscow", None))).number is not None


def test_two_that_have_the_same_key_already_can_be_saved(portal: Portal) -> None:
    twins = Settings.model_validate(pbxs(("moscow", None), ("b", None)))
    settings.save_version(portal, twins, {"b": (KEY, SALT)})
    db.session.commit()
    assert save(portal, {"calls": {"card": "never"}}).number is not None
    data = pbxs(("moscow", KEY), ("b", None))
    data["pbxs"][0]["name"] = "Renamed"
    assert save(portal, data).number is not None


def test_another_portal_may_have_the_same_pbx(portal: Portal) -> None:
    other = make_portal("b" * 32)
    assert save(other, pbxs(("moscow", KEY), ("b", FRESH))).number is not None


@on_both_databases
def test_of_two_saves_at_once_one_gets_the_key(database: str, tmp_path: Path) -> None:
    with migrated_app(database, tmp_path) as app:
        _race(app)


def _race(app: Flask) -> None:
    names = ("a", "b", "c", "d")
    with app.app_context():
        portal_id = make_portal().id
        offices = Settings.model_validate(pbxs(*((name, None) for name in names)))
        keys: dict[str, Any] = {name: (f"x{name}", SALT) for name in names}
        settings.save_version(db.session.get_one(Portal, portal_id), offices, keys)
        db.session.commit()
        db.session.remove()
    together = threading.Barrier(4, timeout=30)
    ends: list[str] = []

    def connect(name: str) -> None:
        with app.app_context():
            portal = db.session.get_one(Portal, portal_id)
            directory = everybody()
            directory.during = lambda: (db.session.rollback(), together.wait())
            data = pbxs(*((other, FRESH if other == name else None) for other in names))
            data["pbxs"][0]["default_user_id"] = 50 + names.index(name)
            try:
                save(portal, data, directory)
                ends.append(name)
            except DocumentError as error:
                ends.append(error.faults[0].code)

    threads = [threading.Thread(target=connect, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with app.app_context():
        stored = [row.api_key for row in db.session.query(PbxRow).filter(PbxRow.removed_at.is_(None))]
        db.session.remove()
        db.engine.dispose()
    assert sorted(ends)[1:] == ["repeated_api_key"] * 3
    assert stored.count(FRESH) == 1
