"""What an administrator alone can mend, as a portal shows it: calls wait, people are told why, and everything lands by
itself when it is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
import requests
from sqlalchemy import update

from bx24app.infra import queue
from bx24app.infra.messages import needs_admin_message
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.models.problem_codes import RecordingProblem
from bx24app.operations.alerts import monitor
from bx24app.portals import lifecycle, probes
from bx24app.portals.frame_auth import DEAD_GRANT_CODES
from bx24app.web.base.session import HEADER
from tests.end_to_end.test_scenarios import connect, told
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, in_portal, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until

SCENARIO = Scenario(FIXTURES / "incoming_answered_becomes_contact")
SWITCHES = [
    ("payment_required", "payment"),
    ("wrong_license", "tariff"),
    ("no_rest", "tariff"),
    ("overload", "overload"),
    ("access_removed", "access"),
    ("grant_revoked", "authorise"),
    ("closed", "closed"),
    ("scope_removed", "scope"),
    ("right_removed", "rights"),
]

CASES = [(*one, False) for one in SWITCHES] + [(*one, True) for one in SWITCHES if one[1] in DEAD_GRANT_CODES]
"""The last: an administrator opens the page, which mends what hangs on the grant; else the next probe finds that it is
over.
"""


@pytest.fixture
def mended(earth: World) -> Iterator[World]:
    yield earth
    earth.sandbox.call(earth.portal.switches.switch_off)


def calls(earth: World) -> ReplayedCall:
    hook = connect(earth, SCENARIO)
    call = as_new_call(SCENARIO)
    earth.sandbox.call(absorb, earth.mango, call.notices)
    for notice in call.notices:
        assert post(hook, notice) == 200
    return call


class Page:
    """The overview in an administrator's frame that is open already: opening it anew may mend a dead grant by itself.
    """

    def __init__(self, earth: World) -> None:
        self.url = f"{earth.url}/frame"
        opened = re.search(r'data-session="([^"]+)"', earth.open(1).text)
        assert opened is not None
        self.session = unescape(opened.group(1))

    def shown(self) -> str:
        answer = requests.get(self.url, headers={HEADER: self.session}, timeout=20)
        assert answer.status_code == 200
        return unescape(re.sub(r"\s+", " ", answer.text))


def notices(earth: World) -> list[str]:
    """What the next looks tell: nothing twice."""
    before = set(earth.sandbox.call(list, earth.portal.notifications))
    with earth.app.app_context():
        monitor.check_all()
        monitor.check_all()
        db.session.remove()
    held = earth.sandbox.call(dict, earth.portal.notifications)
    return [one.message for number, one in held.items() if number not in before]


def probe(earth: World) -> None:
    with earth.app.app_context():
        db.session.execute(update(Portal).values(probe_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()
        probes.probe_due_portals()
        db.session.remove()


@pytest.mark.parametrize(("switch", "trouble", "opens"), CASES)
def test_calls_wait_people_are_told_and_all_lands_by_itself(
    mended: World, switch: str, trouble: str, opens: bool
) -> None:
    earth, page = mended, Page(mended)
    _, fair = told(earth, SCENARIO, "as it is")
    notices(earth)
    method = {"method": "telephony.*"} if switch == "right_removed" else {}
    earth.sandbox.call(lambda: earth.portal.switches.switch_on(switch, **method))
    call = calls(earth)
    until(lambda: earth.portal_row()["trouble"] == trouble, "the trouble was not seen", 60)
    assert earth.portal_row()["state"] == "needs_admin"
    said = notices(earth)
    if switch == "right_removed":  # the one in which the portal still takes a notice
        assert [needs_admin_message("ru", trouble) in words for words in said] == [True]
    else:
        assert said == [], "the portal takes nothing; its end will be told"
    assert not in_portal(earth, call)["calls"]
    assert needs_admin_message("ru", trouble) in page.shown()
    probe(earth)
    # `profile` tells nothing of a single right: there the next delivery is the question
    until(lambda: earth.portal_row()["trouble"] == trouble, "it is not over", 60)
    assert notices(earth) == []
    earth.sandbox.call(earth.portal.switches.switch_off)
    if opens:
        earth.open(1)
    else:
        probe(earth)
    earth.settle(60)
    assert earth.portal_row() | {"id": 0} == {"id": 0, "state": "active", "trouble": None}
    assert in_portal(earth, call) == fair
    (words,) = notices(earth)
    assert "восстановлен" in words
    assert needs_admin_message("ru", trouble) not in page.shown()


def test_a_full_disk_holds_back_recordings_alone(mended: World) -> None:
    earth, page = mended, Page(mended)
    _, fair = told(earth, SCENARIO, "as it is")
    notices(earth)
    earth.sandbox.call(earth.portal.switches.switch_on, "disk_full")
    call = calls(earth)
    until(lambda: waiting(earth) == 1, "the recording does not wait", 60)
    earth.settle_quietly()
    assert earth.portal_row()["state"] == "active", "calls and cards need no disk"
    assert len(in_portal(earth, call)["calls"]) == 1
    assert needs_admin_message("ru", "disk") in page.shown()
    (words,) = notices(earth)
    assert needs_admin_message("ru", "disk") in words
    earth.sandbox.call(earth.portal.switches.switch_off)
    with earth.app.app_context():
        waits = Recording.problem_code == RecordingProblem.PORTAL_DISK
        db.session.execute(update(Recording).where(waits).values(due_at=utcnow()))
        db.session.commit()
        queue.wake_recordings(earth.portal_row()["id"])
        db.session.remove()
    earth.settle(60)
    assert in_portal(earth, call) == fair
    (words,) = notices(earth)
    assert "снова сохраняются" in words
    assert needs_admin_message("ru", "disk") not in page.shown()


def waiting(earth: World) -> int:
    with earth.app.app_context():
        return db.session.query(Recording).filter(Recording.problem_code == RecordingProblem.PORTAL_DISK).count()


def test_pause_and_resume_lose_nothing(mended: World) -> None:
    earth = mended
    _, fair = told(earth, SCENARIO, "as it is")
    number = earth.portal_row()["id"]
    with earth.app.app_context():
        lifecycle.pause(number, 1, paused=True)
    hits = earth.portal.hits
    both = [calls(earth), calls(earth)]
    until(lambda: "notifications" not in earth.pending(), "notifications were not taken in", 60)
    with earth.app.app_context():
        assert db.session.query(Call).filter(Call.entry_id.in_([one.entry_id for one in both])).count() == 2
    assert earth.portal.hits == hits, "nothing leaves meanwhile"
    with earth.app.app_context():
        lifecycle.pause(number, 1, paused=False)
    earth.settle(60)
    assert [in_portal(earth, one) for one in both] == [fair, fair]
