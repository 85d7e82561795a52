"""Ids of Mango's people, stored with the mapping."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import event

from bx24app.models import Pbx, PbxMember, db
from bx24app.portals import pbx_members
from tests.conftest import DOCUMENT, make_portal


@pytest.fixture
def pbx_id(app: Flask) -> int:
    del app
    make_portal(state="active", document=DOCUMENT)
    found = db.session.query(Pbx).first()
    assert found is not None
    number = found.id
    db.session.rollback()
    return number


def load(pbx_id: int, *mapped: str) -> dict[str, str]:
    return pbx_members.load_extensions(pbx_id, "user", mapped)


def store(pbx_id: int, **owners: str) -> None:
    pbx_members.store_members(pbx_id, "user", [(owners[name], name.removeprefix("x")) for name in owners])


def test_ids_are_stored_and_found(pbx_id: int) -> None:
    pbx_members.store_members(pbx_id, "user", [("1", "101"), ("2", "102"), (None, "103"), ("4", None)])
    pbx_members.store_members(pbx_id, "group", [("1", "300")])
    assert load(pbx_id) == {"1": "101", "2": "102"}
    assert pbx_members.load_extensions(pbx_id, "group") == {"1": "300"}


def test_a_renumbered_employee_is_found_by_the_extension_of_the_mapping(pbx_id: int) -> None:
    store(pbx_id, x101="1", x102="2")
    store(pbx_id, x201="1", x102="2")
    assert load(pbx_id, "101", "102")["1"] == "101", "the mapping is as it was"
    assert load(pbx_id, "201", "102")["1"] == "201", "the mapping has followed"
    assert load(pbx_id)["1"] == "201"


def test_an_extension_that_went_to_somebody_else_is_no_longer_the_first_one_s(pbx_id: int) -> None:
    store(pbx_id, x101="1")
    store(pbx_id, x101="3", x201="1")
    assert load(pbx_id, "101") == {"1": "201", "3": "101"}


def test_a_return_to_the_former_extension(pbx_id: int) -> None:
    for extension in ("x101", "x201", "x101"):
        store(pbx_id, **{extension: "1"})
    assert load(pbx_id) == {"1": "101"}


def test_what_has_not_changed_is_not_written(pbx_id: int) -> None:
    store(pbx_id, x101="1", x102="2")
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    store(pbx_id, x101="1", x102="2")
    assert {text.split()[0] for text in statements} <= {"BEGIN", "SELECT"}


def test_they_leave_with_the_pbx(pbx_id: int) -> None:
    store(pbx_id, x101="1")
    db.session.query(Pbx).filter_by(id=pbx_id).delete()
    db.session.commit()
    assert db.session.query(PbxMember).count() == 0
