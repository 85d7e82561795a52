"""A PBX without numbers: its lines are the numbers of SIP trunks. It connects, its calls arrive, clicks leave by it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from bx24app import settings
from bx24app.domain.settings import EmployeeSettings
from bx24app.mango.client import MangoClient
from bx24app.models import Pbx as PbxRow
from bx24app.models import Portal, db
from bx24app.sandbox.bitrix.state import Statistic
from bx24app.sandbox.mango import Board, Party, Plan, simulation
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.support.stack import World, until

NAMED, NUMBER = "roistat-1", "74955358853"
ANNA = 11
_clients = itertools.count(79_170_000_000)


@pytest.fixture(scope="module")
def office(earth: World) -> Iterator[Board]:
    """The PBX, connected on the page with key and salt alone; extension 101 is Anna's."""
    board = earth.mango.add_pbx(name="trunks")
    board.pbx.add_trunk(NAMED, "Roistat")
    board.pbx.add_trunk(NUMBER, "TrunkYou 3")
    board.pbx.add_employee("101", "Anna", recorded=False)
    board.pbx.add_group("300", "Operators", ["101"])
    earth.sandbox.call(earth.add_users, [ANNA])
    page = _connect(earth, board)
    assert 'data-testid="connected"' in page
    assert "2 lines were found" in page
    with earth.app.app_context():
        document = settings.current(db.session.get_one(Portal, earth.portal_row()["id"]))
        db.session.rollback()
    [pbx] = document.pbxs
    assert [(line.number, line.name) for line in pbx.lines] == [(NAMED, "Roistat"), (NUMBER, "TrunkYou 3")]
    staffed = pbx.model_copy(update={"employees": (EmployeeSettings(extension="101", user_id=ANNA),)})
    hooks = earth.connect(document.model_copy(update={"pbxs": (staffed,)}), {})
    board.pbx.hook_url = hooks[pbx.key]
    until(lambda: {NAMED, NUMBER} <= {line.number for line in list(earth.portal.lines.values())}, "no external lines")
    yield board
    board.pbx.trunks_as_addresses = False


def _connect(earth: World, board: Board, name: str = "trunks", version: int = 0) -> str:
    portal = earth.sandbox.portals[0]
    with earth.app.app_context():
        claim = session.issue(FrameSession(earth.portal_row()["id"], portal.member_id, 1, True, lang="en"))
    form = {
        "name": name, "key": name, "dialects": "vpbx", "version": str(version),
        "api_key": board.pbx.api_key, "api_salt": board.pbx.api_salt,
    }  # fmt: skip
    headers = {session.HEADER: claim, "HX-Request": "true"}
    answer = requests.post(f"{earth.url}/frame/pbxs", data=form, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    with earth.app.app_context():
        assert db.session.query(PbxRow).filter_by(key=name).count() == 1, answer.text
        db.session.rollback()
    return answer.text


def _rows(earth: World, client: str) -> list[Statistic]:
    return [row for row in list(earth.portal.statistics.values()) if row.phone.lstrip("+") == client]


def _finished(earth: World, client: str) -> Statistic:
    until(lambda: _rows(earth, client), f"the call of {client} is not in the portal", 60)
    earth.settle(45)
    [row] = _rows(earth, client)
    return row


@pytest.mark.parametrize("trunk", [NAMED, NUMBER])
@pytest.mark.parametrize("as_addresses", [False, True])
def test_a_call_is_registered_with_the_trunks_name(
    earth: World, office: Board, trunk: str, as_addresses: bool
) -> None:
    office.pbx.trunks_as_addresses = as_addresses
    client = str(next(_clients))
    plan = Plan(client=client, line=trunk, ivr=0, to=["101"], parties={"101": Party(1)}, talk=7, speed=100)
    earth.sandbox.call(_start, office, plan)
    row = _finished(earth, client)
    assert (row.portal_number, row.user_id, row.failed_code) == (trunk, ANNA, "200")


@pytest.mark.parametrize("trunk", [NAMED, NUMBER])
def test_a_click_leaves_by_the_trunk(earth: World, office: Board, trunk: str) -> None:
    client = str(next(_clients))
    office.plan = Plan(speed=100, talk=7)
    earth.sandbox.call(lambda: earth.portal.click_to_call(ANNA, f"+{client}", line=trunk))
    row = _finished(earth, client)
    assert (row.portal_number, row.user_id, row.failed_code) == (trunk, ANNA, "200")
    [sent] = [body for _, body in earth.mango.commands if body["to_number"] == client]
    assert sent["line_number"] == trunk


@pytest.mark.parametrize("adds", ["nothing", "trunk", "number"])
def test_connecting_never_locks_the_key(earth: World, office: Board, adds: str) -> None:
    """Each empty list is a wrong request where every 3xxx counts."""
    board = earth.mango.add_pbx(name=adds)
    board.pbx.add_employee("201", "Anna", email=f"u{ANNA}@portal.test")
    if adds == "trunk":
        board.pbx.add_trunk("office-2", "Office")
    elif adds == "number":
        board.pbx.add_line("74959990000", "Office")
    limits = earth.mango.limits
    limits.every_3xxx_counts = True
    try:
        with earth.app.app_context():
            number = settings.current_number(db.session.get_one(Portal, earth.portal_row()["id"]))
            db.session.rollback()
        page = _connect(earth, board, adds, number)
        assert ("neither numbers nor SIP trunks" if adds == "nothing" else "1 line was found") in page
        assert not limits.is_locked_out(board.pbx.api_key)
        client = MangoClient(earth.mango.api_url, board.pbx.api_key, board.pbx.api_salt)
        client.start_callback("after", "201", "79170001122")
    finally:
        limits.every_3xxx_counts = False


async def _start(board: Board, plan: Plan) -> Any:
    return simulation.incoming(board, plan)
