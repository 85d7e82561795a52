"""One PBX serves two portals: each has its own hook address, and both get the call, each with its own people and its
own CRM.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.domain.settings import Settings
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import User
from tests.conftest import KEY, SALT, config_for
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, post
from tests.support.scenarios import FIXTURES, Notice, Scenario
from tests.support.stack import World, world

SCENARIO = Scenario(FIXTURES / "transfer_blind_by_api")
TALKERS = ((11, 12), (31, 32))
"""Of each portal: who has the extensions 101 and 102 there."""


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("two"), valkey_url, config_for, portals=2, quiet_seconds=2) as made:
        for number, portal in enumerate(made.sandbox.portals):
            portal.limits.rate = 0
            for user in TALKERS[number]:
                portal.users[user] = User(id=user, name="Worker", last_name=str(user), email=f"u{user}@portal.test")
        made.sandbox.call(lambda: made.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Moscow"))
        made.work()
        made.install()
        made.install(number=1)
        yield made
        for portal in made.sandbox.portals:
            assert not portal.violations, portal.violations


def document(number: int, line_number: str) -> Settings:
    pairs = zip(("101", "102"), TALKERS[number], strict=True)
    pbx = {
        "key": "moscow",
        "lines": [{"number": "74950000001", "line_number": line_number}],
        "employees": [{"extension": extension, "user_id": user} for extension, user in pairs],
    }
    return Settings.model_validate({"pbxs": [pbx]})


def hooks(earth: World) -> list[str]:
    keys = {"moscow": (KEY, SALT)}
    return [earth.connect(document(n, name), keys, n)["moscow"] for n, name in enumerate(("FIRST", "SECOND"))]


def holds(portal: Portal, retold: ReplayedCall) -> list[tuple[str, int, str, str, bool]]:
    rows = [row for row in portal.statistics.values() if row.phone.lstrip("+") == retold.client[1:]]
    return sorted(
        (row.external_id or "", row.user_id, row.portal_number, row.failed_code, row.file_id is not None)
        for row in rows
    )


def leads(portal: Portal, retold: ReplayedCall) -> list[int]:
    everything = [one for table in portal.crm.records.values() for one in table.values()]
    return [one.assigned_by_id for one in everything if any(p.lstrip("+") == retold.client[1:] for p in one.phones)]


def expected(retold: ReplayedCall, number: int, line: str) -> list[tuple[str, int, str, str, bool]]:
    first, second = TALKERS[number]
    name = f"moscow:{retold.entry_id}"
    return [(name, second, line, "200", True), (f"{name}#2", first, line, "200", True)]


def tell(earth: World, told: list[tuple[str, Notice]], retold: ReplayedCall) -> None:
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for hook, notice in told:
        assert post(hook, notice) == 200
    earth.settle(60)


def test_both_get_the_call(earth: World) -> None:
    addresses, retold = hooks(earth), as_new_call(SCENARIO)
    assert len(set(addresses)) == 2
    tell(earth, [(hook, notice) for notice in retold.notices for hook in addresses], retold)
    for number, line in enumerate(("FIRST", "SECOND")):
        portal = earth.sandbox.portals[number]
        assert holds(portal, retold) == expected(retold, number, line)
        assert leads(portal, retold) == [TALKERS[number][1]]


def test_what_one_hook_hears_the_other_portal_does_not(earth: World) -> None:
    addresses, retold = hooks(earth), as_new_call(SCENARIO)
    tell(earth, [(addresses[1], notice) for notice in retold.notices], retold)
    assert holds(earth.sandbox.portals[0], retold) == []
    assert leads(earth.sandbox.portals[0], retold) == []
    assert holds(earth.sandbox.portals[1], retold) == expected(retold, 1, "SECOND")


def test_one_after_the_other_is_nothing_that_was_heard_before(earth: World) -> None:
    """The second portal hears the same words when the first has long finished: the same ids are news there."""
    addresses, retold = hooks(earth), as_new_call(SCENARIO)
    for hook in addresses:
        tell(earth, [(hook, notice) for notice in retold.notices], retold)
    for number, line in enumerate(("FIRST", "SECOND")):
        assert holds(earth.sandbox.portals[number], retold) == expected(retold, number, line)
