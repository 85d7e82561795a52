"""A dialect is one registry entry: a third one is registered, and its call runs through the whole program."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, PortalSettings, Settings
from bx24app.models import Notification, db
from tests.support import tiny_dialect
from tests.support.stack import World

ENTRY, CLIENT = "tiny-1", "79167770001"


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with tiny_dialect.registered():
        yield


@pytest.fixture(scope="module")
def hook(earth: World) -> str:
    earth.sandbox.call(earth.add_users, [9])
    pbx = PbxSettings(
        key="moscow",
        dialects=(tiny_dialect.NAME,),
        lines=(LineSettings(number="74950000001"),),
        employees=(EmployeeSettings(extension="101", user_id=9),),
    )
    return earth.connect(Settings(portal=PortalSettings(default_user_id=1), pbxs=(pbx,)), {})["moscow"]


def post(hook: str, line: str) -> int:
    return requests.post(hook, data=line.encode(), headers={"Content-Type": "text/plain"}, timeout=20).status_code


def test_a_call_is_registered_and_finished(earth: World, hook: str) -> None:
    now = int(time.time())
    for line in (
        f"ring;{ENTRY};{CLIENT};101;{now - 60}",
        f"answer;{ENTRY};{CLIENT};101;{now - 50}",
        f"end;{ENTRY};{CLIENT};101;{now}",
    ):
        assert post(hook, line) == 200
    earth.settle(90)
    rows = [row for row in earth.portal.statistics.values() if row.external_id == f"moscow:{ENTRY}"]
    assert [(row.user_id, row.type, row.duration, row.failed_code, row.portal_number) for row in rows] == [
        (9, 2, 50, "200", "74950000001")
    ]
    assert not earth.portal.calls


def test_what_it_cannot_read_is_stored_as_rejected(earth: World, hook: str) -> None:
    assert post(hook, "ring;too short") == 200
    with earth.app.app_context():
        rows = db.session.query(Notification).filter_by(dialect=tiny_dialect.NAME, state="rejected")
        assert [(row.name, row.reason) for row in rows] == [("line", "The line does not have five fields.")]
        db.session.rollback()


def test_the_other_dialects_are_not_enabled(hook: str) -> None:
    assert (
        requests.post(
            f"{hook}/events/call", data={"json": "{}", "sign": "x", "vpbx_api_key": "y"}, timeout=20
        ).status_code
        == 403
    )
    assert requests.post(f"{hook}/call_end", json={"uuid": "u"}, timeout=20).status_code == 403
