"""Lines, trunks and the check of keys against the sandbox: no question costs a wrong request needlessly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bx24app.mango.api_types import TRUNK
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import NotPermitted, TemporaryFailure
from bx24app.sandbox.mango import Board, MangoCloud, RestFault


@pytest.fixture
def board(cloud: MangoCloud) -> Board:
    return cloud.add_pbx(name="trunks")


def client(cloud: MangoCloud, board: Board) -> MangoClient:
    return MangoClient(cloud.api_url, board.pbx.api_key, board.pbx.api_salt, timeout=(5, 5))


def add_number(board: Board) -> None:
    board.pbx.add_line("74950000001", "Main")


def add_trunks(board: Board) -> None:
    board.pbx.add_trunk("74955358853", "TrunkYou 3", options=2)
    board.pbx.add_trunk("roistat-1")


def add_nothing(board: Board) -> None:
    pass


@pytest.mark.parametrize(
    ("adds", "numbers", "asked"),
    [
        ([add_number], ["74950000001"], ["incominglines"]),
        ([add_trunks], ["74955358853", "roistat-1"], ["trunks/numbers"]),
        ([add_number, add_trunks], ["74950000001", "74955358853", "roistat-1"], ["incominglines", "trunks/numbers"]),
        ([add_nothing], [], ["incominglines"]),
    ],
)
def test_only_what_is_there_is_asked_for(
    cloud: MangoCloud, board: Board, adds: list[Callable[[Board], None]], numbers: list[str], asked: list[str]
) -> None:
    for add in adds:
        add(board)
    check = client(cloud, board).check_credentials()
    assert (check.state, [line.number for line in check.lines], check.lines_error) == ("ok", numbers, None)
    assert list(cloud.requests) == [f"POST {path}" for path in ("account/balance", "schemas", *asked)]


def test_trunks_have_the_name_of_the_account(cloud: MangoCloud, board: Board) -> None:
    add_trunks(board)
    lines = client(cloud, board).fetch_lines()
    assert [(line.name, line.region) for line in lines] == [("TrunkYou 3", TRUNK), ("", TRUNK)]


def test_a_sip_line_keeps_the_name_by_which_it_is_dialled(cloud: MangoCloud, board: Board) -> None:
    for name in ("main", ""):
        line = board.pbx.add_line(f"sip:uri{name}@mangosip.ru", name)
        line.region, line.comment = "sip-uac", "a comment"
    assert [line.name for line in client(cloud, board).fetch_lines()] == ["main", ""]


def test_without_the_option_numbers_are_listed_and_trunks_are_not(cloud: MangoCloud, board: Board) -> None:
    board.pbx.services_enabled = False
    add_trunks(board)
    check = client(cloud, board).check_credentials()
    assert (check.state, check.lines) == ("ok", ())
    assert isinstance(check.lines_error, NotPermitted)
    add_number(board)
    assert [line.number for line in client(cloud, board).fetch_lines()] == ["74950000001"]


@pytest.mark.parametrize("code", [3300, 3104])
def test_refused_schemes_hide_no_numbers(cloud: MangoCloud, board: Board, code: int) -> None:
    add_number(board)
    cloud.rest_faults["schemas"] = RestFault("code", code)
    lines = client(cloud, board).fetch_lines()
    assert [line.number for line in lines] == ([] if code == 3300 else ["74950000001"])


def test_the_key_is_right_where_the_lines_fail(cloud: MangoCloud, board: Board) -> None:
    add_number(board)
    cloud.rest_faults["incominglines"] = RestFault("http", 503)
    check = client(cloud, board).check_credentials()
    assert check.state == "ok"
    assert isinstance(check.lines_error, TemporaryFailure)
    cloud.rest_faults["account/balance"] = RestFault("code", 2240)
    assert client(cloud, board).check_credentials().state == "ok", "an account without money has a key too"


def test_a_wrong_key_is_one_wrong_request(cloud: MangoCloud, board: Board) -> None:
    wrong = MangoClient(cloud.api_url, board.pbx.api_key, "another salt", timeout=(5, 5))
    assert wrong.check_credentials().state == "wrong_salt"
    assert list(cloud.requests) == ["POST account/balance"]
    assert client(cloud, board).check_credentials().state == "ok", "nothing is locked yet"
