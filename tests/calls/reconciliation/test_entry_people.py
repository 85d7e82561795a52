"""People whom statistics name by id alone: stored ids answer, and Mango is asked for unknown ones only."""

from __future__ import annotations

from typing import Any, cast

import pytest
from flask import Flask

from bx24app.calls.reconciliation import entry_people
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoGroup, MangoUser
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import KeyLocked, KeyPaused, TemporaryFailure
from bx24app.models import Pbx, db
from tests.conftest import DOCUMENT, make_portal

MAPPED = DOCUMENT.pbxs[0].employees[0].extension


class Mango:
    """Lists employees and groups, and counts how often."""

    def __init__(self) -> None:
        self.users, self.asked = {"1": MAPPED}, 0
        self.problem: Exception | None = None

    def fetch_users(self) -> list[MangoUser]:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        return [MangoUser(extension, "A", None, None, name, (), None) for name, extension in self.users.items()]

    def fetch_groups(self) -> list[MangoGroup]:
        self.asked += 1
        return [MangoGroup("7", "Sales", "300", ())]


@pytest.fixture
def mango() -> Mango:
    return Mango()


@pytest.fixture
def pbx_id(app: Flask) -> int:
    del app
    make_portal(state="active", document=DOCUMENT)
    number = db.session.query(Pbx.id).scalar()
    db.session.rollback()
    return int(number)


def outgoing(mango_id: str) -> dict[str, Any]:
    leg = {"call_type": "number", "call_abonent_id": int(mango_id), "call_start_time": 1, "call_end_time": 2}
    return {"entry_id": "E", "context_type": 2, "context_calls": [leg]}


def named(mango: Mango, pbx_id: int, entry: dict[str, Any]) -> str | None:
    [found] = entry_people.name_people(cast(MangoClient, mango), pbx_id, [entry])
    return cast("str | None", found["context_calls"][0].get("call_abonent_extension"))


def test_a_stored_id_needs_no_question_and_survives_a_renumbering(mango: Mango, pbx_id: int) -> None:
    assert named(mango, pbx_id, outgoing("1")) == MAPPED
    runtime().get(entry_people._ListingTimes).clear()  # another process, or ten minutes later
    mango.users = {"1": "201", "2": "202"}
    assert named(mango, pbx_id, outgoing("1")) == MAPPED
    assert mango.asked == 1
    assert named(mango, pbx_id, outgoing("2")) == "202", "an unknown one is asked for"
    assert mango.asked == 2
    assert named(mango, pbx_id, outgoing("1")) == MAPPED, "the mapping knows the former extension only"
    assert mango.asked == 2


def test_an_id_that_nobody_lists_is_asked_for_once(mango: Mango, pbx_id: int) -> None:
    for _ in range(3):
        assert named(mango, pbx_id, outgoing("9")) is None
    assert mango.asked == 1


def test_without_a_list_of_employees_the_entry_stays(mango: Mango, pbx_id: int) -> None:
    mango.problem = TemporaryFailure("busy")
    assert entry_people.name_people(cast(MangoClient, mango), pbx_id, [outgoing("1")]) == [outgoing("1")]


def test_while_the_key_is_paused_the_entry_waits_for_its_people(mango: Mango, pbx_id: int) -> None:
    mango.problem = KeyLocked(5.0)
    with pytest.raises(KeyPaused):
        named(mango, pbx_id, outgoing("1"))
    mango.problem = None
    assert named(mango, pbx_id, outgoing("1")) == MAPPED, "it is asked again at once"


def test_a_group_gets_its_extension(mango: Mango, pbx_id: int) -> None:
    leg = {"call_type": "group", "call_abonent_id": 7, "members": []}
    assert named(mango, pbx_id, {"entry_id": "E", "context_type": 1, "context_calls": [leg]}) == "300"


def test_entries_that_name_everybody_ask_nothing(mango: Mango, pbx_id: int) -> None:
    entry = outgoing("1")
    entry["context_calls"][0]["call_abonent_extension"] = "101"
    assert named(mango, pbx_id, entry) == "101"
    assert mango.asked == 0
