"""A portal that never answers holds back nobody: another tenant's call is whole in its portal meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bx24app.models import Delivery, db
from bx24app.sandbox.bitrix.state import User
from tests.conftest import KEY, SALT, config_for
from tests.end_to_end.test_two_portals import SCENARIO, TALKERS, document, expected, holds
from tests.support.replayed_scenario import absorb, as_new_call, post
from tests.support.stack import World, until, world

CALL_THREADS = 2
GOOD, BAD = 0, 1
MUCH_LESS_THAN_A_TIMEOUT = 40.0


@pytest.fixture
def earth(tmp_path: str, valkey_url: str) -> Iterator[World]:
    """Two portals whose settings share one PBX; the bad one is self-hosted by its own word."""
    with world(tmp_path, valkey_url, config_for, portals=2, quiet_seconds=2) as made:  # type: ignore[arg-type]
        for number, portal in enumerate(made.sandbox.portals):
            portal.limits.rate = 0
            for user in TALKERS[number]:
                portal.users[user] = User(id=user, name="Worker", last_name=str(user), email=f"u{user}@portal.test")
        made.sandbox.portals[BAD].license = "selfhosted"
        made.sandbox.call(lambda: made.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Moscow"))
        made.work(calls=CALL_THREADS)
        made.install()
        made.install(number=1)
        yield made


def test_a_hung_portal_delays_no_call_of_another_tenant(earth: World) -> None:
    keys = {"moscow": (KEY, SALT)}
    hooks = [earth.connect(document(number, name), keys, number)["moscow"] for number, name in ((0, "A"), (1, "B"))]
    fault = earth.sandbox.call(earth.sandbox.portals[BAD].switches.switch_on, "hang")
    for _ in range(CALL_THREADS + 2):
        for notice in as_new_call(SCENARIO).notices:
            assert post(hooks[BAD], notice) == 200
    until(lambda: fault.hits > CALL_THREADS, "no request of the hung portal is under way", 20)
    good, began = as_new_call(SCENARIO), time.monotonic()
    earth.sandbox.call(absorb, earth.mango, good.notices)
    for notice in good.notices:
        assert post(hooks[GOOD], notice) == 200
    until(lambda: len(holds(earth.sandbox.portals[GOOD], good)) == 2, "it waits for the hung portal", 60)
    until(lambda: all(row[-1] for row in holds(earth.sandbox.portals[GOOD], good)), "its recordings wait", 60)
    assert time.monotonic() - began < MUCH_LESS_THAN_A_TIMEOUT
    assert holds(earth.sandbox.portals[GOOD], good) == expected(good, GOOD, "A")
    with earth.app.app_context():
        hung = db.session.query(Delivery).filter_by(portal_id=earth.portal_row(BAD)["id"], state="sent").count()
        db.session.rollback()
    assert hung, "the portal hangs to the end"
