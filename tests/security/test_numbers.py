"""What the fuzzer once found: numbers longer than any id, days at the ends of time, lone surrogates, names too long for
a disk.
"""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.web.base.parsing import parse_int
from tests.web.conftest import claim, client, portal, site

__all__ = ["client", "portal", "site"]
LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("0", 0),
        ("9" * 15, 10**15 - 1),
        ("9" * 16, None),
        ("-1", None),
        ("٣", None),
        ("²", None),
        ("", None),
        (" 1", None),
        ("1\n", None),
        (LONG, None),
    ],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    assert parse_int(text) == number


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/frame/calls/190358645446504553119744", 404),
        ("POST", "/frame/calls/recordings/190358645446504553119744/again", 404),
        ("GET", "/frame/calls?since=0001-01-01&until=9999-12-31", 200),
        ("GET", "/frame/calls/more?below=0001-01-01T00:00:00%2B14:00_1", 200),
        ("GET", f"/frame/calls/more?below=2026-01-01T00:00:00%2B00:00_{'9' * 30}", 200),
        ("GET", "/frame/statistics?period=own&since=0001-01-01&until=9999-12-31", 200),
        ("GET", f"/frame/history?before={LONG}", 200),
        ("GET", f"/frame/stuck/dead?below={LONG}", 200),
        ("GET", f"/assets/x/{'a' * 3000}", 404),
        ("GET", "/assets/x/%00", 404),
    ],
)
def test_an_address_out_of_bounds_is_no_fault_of_ours(
    site: Flask, client: FlaskClient, portal: int, method: str, path: str, status: int
) -> None:
    assert client.open(path, method=method, headers=claim(site, portal)).status_code == status


@pytest.mark.parametrize("name", ["default_user_id", "version", "min_seconds"])
def test_a_number_out_of_bounds_is_no_fault_of_ours(site: Flask, client: FlaskClient, portal: int, name: str) -> None:
    said = client.post("/frame/policy", headers=claim(site, portal), data={"version": "0", name: LONG})
    assert said.status_code < 500
