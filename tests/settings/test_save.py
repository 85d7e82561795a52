"""Saving a settings document, without a request and a portal: what is asked, refused and written."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
import yaml

from bx24app import settings
from bx24app.bitrix24.errors import AnswerLost
from bx24app.domain import document
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document import DocumentError, load_yaml
from bx24app.domain.settings import Rule, Settings
from bx24app.models import Audit, Portal, SettingsVersion, db
from bx24app.models import Pbx as PbxRow
from bx24app.settings.save import SaveOutcome, save_document
from tests.conftest import DOCUMENT, KEY, SALT

SOURCES = CrmDictionaries({"statuses": {"SOURCE": [{"id": "CALL", "name": "Call"}]}})


class Directory:
    """Knows a few users and one source, and notes what it was asked for."""

    def __init__(self, *users: int, silent: bool = False, during: Callable[[], object] | None = None) -> None:
        self.users, self.silent, self.during = set(users), silent, during
        self.asked_users: list[set[int]] = []
        self.sufficed: list[bool] = []

    def find_unknown_users(self, user_ids: Collection[int]) -> set[int]:
        self.asked_users.append(set(user_ids))
        if self.silent:
            raise AnswerLost("no answer")
        if self.during is not None:
            self.during()
        return set(user_ids) - self.users

    def offered_dictionaries(self, suffice: Callable[[CrmDictionaries], bool]) -> CrmDictionaries:
        self.sufficed.append(suffice(SOURCES))
        return SOURCES


def everybody() -> Directory:
    return Directory(*range(1, 100))


def save(portal: Portal, data: dict[str, Any] | str, directory: Directory | None = None, **options: Any) -> SaveOutcome:
    given = load_yaml(data) if isinstance(data, str) else data
    return save_document(portal.id, given, directory or everybody(), **{"author": 7, "source": "frame", **options})


def imported(portal: Portal, text: str, **options: Any) -> SaveOutcome:
    return save(portal, text, author=None, source="cli", is_import=True, allow_delete=False, **options)


def versions(portal: Portal) -> list[int]:
    return [row.number for row in settings.history(portal.id)]


def test_a_change_becomes_a_version(portal: Portal) -> None:
    data = document.dump(DOCUMENT)
    data["calls"]["missed"] = "nothing"
    outcome = save(portal, data, note="no leads", base_number=1)
    assert (outcome.number, outcome.old, outcome.new.calls.missed) == (2, DOCUMENT, "nothing")
    assert settings.current(portal) == outcome.new
    row = db.session.query(SettingsVersion).filter_by(number=2).one()
    assert (row.author, row.source, row.note) == (7, "frame", "no leads")
    assert db.session.query(Audit).filter_by(what="settings saved").all()[-1].facts == {"version": 2}


def test_nothing_changed_is_no_version(portal: Portal) -> None:
    assert save(portal, document.dump(DOCUMENT)).number is None
    assert imported(portal, settings.export_yaml(portal, "https://x.ru")).number is None
    assert versions(portal) == [1]


def test_a_first_import_is_a_version_even_of_the_defaults(portal: Portal) -> None:
    portal.settings_version_id = None
    db.session.query(SettingsVersion).delete()
    db.session.commit()
    assert save(portal, document.dump(Settings())).number is None
    assert imported(portal, "version: 1").number == 1


def test_only_new_users_are_asked_for_but_an_import_asks_for_all(portal: Portal) -> None:
    data = document.dump(DOCUMENT)
    data["pbxs"][0]["default_user_id"] = 55
    directory = Directory(55)
    save(portal, data, directory)
    assert directory.asked_users == [{55}]
    directory = everybody()
    imported(portal, "portal: {default_user_id: 12}\ncalls: {card: never}", directory=directory)
    assert directory.asked_users == [{12}]
    directory = Directory(1, 8)
    with pytest.raises(DocumentError, match="the portal has no active user 12"):
        imported(portal, "portal: {default_user_id: 12}", directory=directory)


def test_changed_rules_are_checked_against_the_portal_unchanged_ones_are_not(portal: Portal) -> None:
    rule = {"name": "r", "do": [{"create": {"entity": "lead", "source_id": "GONE", "responsible": 12}}]}
    settings.save_version(portal, DOCUMENT.model_copy(update={"rules": (Rule.model_validate(rule),)}))
    db.session.commit()
    data = document.dump(settings.current(portal))
    data["calls"]["missed"] = "nothing"
    directory = Directory()
    save(portal, data, directory)
    assert (directory.asked_users, directory.sufficed) == ([set()], [])
    data["rules"][0]["name"] = "renamed"
    with pytest.raises(DocumentError) as caught:
        save(portal, data, directory)
    assert {(fault.code, fault.path) for fault in caught.value.faults} == {
        ("unknown_source", "rules[0].do[0].create.source_id"),
        ("unknown_user", "rules[0].do[0].create.responsible"),
    }
    assert directory.sufficed == [False]


def test_every_fault_and_nothing_is_written(portal: Portal) -> None:
    text = "portal: {default_user_id: 99}\npbxs: []\ncalls: {card: late}"
    with pytest.raises(DocumentError) as caught:
        imported(portal, text, directory=Directory(1))
    paths = {fault.path for fault in caught.value.faults}
    assert paths >= {"portal.default_user_id", "calls.card", "pbxs.moscow", "pbxs.moscow.lines.74950000001"}
    assert settings.current(portal) == DOCUMENT
    assert versions(portal) == [1]


def test_a_silent_portal_is_a_fault_beside_the_others(portal: Portal) -> None:
    with pytest.raises(DocumentError) as caught:
        imported(portal, "calls: {card: late}", directory=Directory(silent=True))
    assert [str(fault) for fault in caught.value.faults if not fault.path] == [
        "the portal cannot be asked for its users and pipelines: no answer"
    ]
    assert "calls.card" in {fault.path for fault in caught.value.faults}
    assert versions(portal) == [1]


def test_new_keys_are_stored_and_named(portal: Portal) -> None:
    text = settings.export_yaml(portal, "https://x.ru")
    assert KEY not in text
    assert SALT not in text
    address = yaml.safe_load(text)["pbxs"][0]["webhook_url"]
    text = text.replace("api_key: null", "api_key: fresh").replace("api_salt: null", "api_salt: salt")
    assert imported(portal, text).new_keys == ("moscow",)
    row = db.session.query(PbxRow).filter_by(portal_id=portal.id).one()
    assert (row.api_key, row.api_salt, address) == ("fresh", "salt", f"https://x.ru/mango/{row.hook_key}")
    again = imported(portal, text)
    assert (again.number, again.new_keys) == (None, ())


def test_an_order_alone_is_saved(portal: Portal) -> None:
    one, two = (Rule(name=name, do=({"nothing": {}},)) for name in ("one", "two"))
    settings.save_version(portal, Settings(rules=(one, two)))
    db.session.commit()
    assert imported(portal, "rules: [{name: two, do: [{nothing: {}}]}, {name: one, do: [{nothing: {}}]}]").number == 3
    assert [rule.name for rule in settings.current(portal).rules] == ["two", "one"]


def test_back_to_an_earlier_version(portal: Portal) -> None:
    settings.save_version(portal, Settings())
    db.session.commit()
    first = settings.find_version(portal.id, 1)
    assert first is not None
    wanted = document.dump(settings.of_version(first.id))
    with pytest.raises(settings.VersionConflict):
        save(portal, wanted, source="rollback", base_number=1)
    assert versions(portal) == [2, 1]
    assert save(portal, wanted, source="rollback", base_number=2).number == 3
    assert settings.current(portal) == DOCUMENT


def test_somebody_saves_while_the_portal_is_asked(portal: Portal) -> None:
    """An import of one section leaves what came meanwhile; a page is a conflict."""
    portal_id = portal.id

    def save_other() -> None:
        row = db.session.get_one(Portal, portal_id)
        data = document.dump(settings.current(row))
        data["calls"]["card"] = "never"
        settings.save_version(row, Settings.model_validate(data))
        db.session.commit()

    outcome = imported(portal, "portal: {default_user_id: 12}", directory=Directory(12, during=save_other))
    assert (outcome.number, outcome.new.calls.card, outcome.new.portal.default_user_id) == (3, "never", 12)
    data = document.dump(outcome.new)
    data["portal"]["default_user_id"] = 55
    with pytest.raises(settings.VersionConflict) as caught:
        save(portal, data, Directory(55, during=save_other), base_number=3)
    assert caught.value.number == 4
    assert settings.current(db.session.get_one(Portal, portal_id)).portal.default_user_id == 12
