"""Attacks by which pages would wait for somebody outside: paused players, an authorisation server that is slow, a
tenant whose portal hangs. The second portal of the stack is the tenant; the calls of the row are the first portal's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from bx24app.models import Call, Pbx, Recording, db, utcnow
from bx24app.sandbox.mango.call_log import Recording as SandboxRecording
from bx24app.web.base import session
from bx24app.web.base.session import Ticket
from tests.conftest import DOCUMENT
from tests.stress.chaos import strangers
from tests.stress.chaos.attackers import attackers
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.web_part import WebPart
from tests.support.stack import World

PLAYERS, STRANGERS, TABS = 32, 16, 40
RECORDING_BYTES = 20_000_000
HANG_SECONDS = 14.0
_ENTRY = "paused-players"


@contextmanager
def paused_players(stack: ChaosStack, web: WebPart) -> Iterator[None]:
    """Players of one long recording, which read a few bytes and then no more."""
    with attackers(strangers.pause_player, PLAYERS, web.port, _recording_path(stack.world)):
        yield


@contextmanager
def slow_strangers(stack: ChaosStack, web: WebPart) -> Iterator[None]:
    """Openings by nobody while the authorisation servers take 14 seconds each."""
    switches = stack.world.sandbox.oauth.switches
    switches.switch_on("hang", method="app.info", seconds=HANG_SECONDS)
    try:
        with attackers(strangers.open_with_forged_token, STRANGERS, web.port):
            yield
    finally:
        switches.switch_off("hang")


@contextmanager
def hanging_tabs(stack: ChaosStack, web: WebPart) -> Iterator[None]:
    """Tabs of genuine viewers of a portal whose REST hangs."""
    world = stack.world
    _install_tenant(world)
    tenant = world.sandbox.portals[1]
    form = world.sandbox.call(tenant.open_form, 1, world.application)
    body = urlencode({**form.fields, "PLACEMENT_OPTIONS": json.dumps({"ID": "1"})})
    path = "/place/lead?" + urlsplit(form.url).query
    tenant.switches.switch_on("hang")
    try:
        with attackers(strangers.post_form, TABS, web.port, path, body):
            yield
    finally:
        tenant.switches.switch_off("hang")


def _install_tenant(world: World) -> int:
    """The row id of the second portal, installed at the first need."""
    if not world.portal_row(1)["id"]:
        world.sandbox.portals[1].limits.rate = 0
        world.install(number=1)
    return int(world.portal_row(1)["id"])


def _recording_path(world: World) -> str:
    """The address of a long recording with a ticket for a minute."""
    portal_id = _install_tenant(world)
    board = next((board for board in world.mango.boards.values() if board.pbx.name == _ENTRY), None)
    if board is None:
        board = world.sandbox.call(world.mango.add_pbx, name=_ENTRY)
        world.connect(DOCUMENT, {"moscow": (board.pbx.api_key, board.pbx.api_salt)}, number=1)
        held = SandboxRecording(_ENTRY, _ENTRY, "101", 0, 60, is_stored=True, size=RECORDING_BYTES)
        board.call_log.recordings[_ENTRY] = held
    with world.app.app_context():
        row = db.session.query(Recording).filter_by(portal_id=portal_id, recording_id=_ENTRY).one_or_none()
        if row is None:
            row = _add_recording(portal_id)
        ticket = session.issue_ticket(Ticket(portal_id, 1, "recording", row.id))
        path = f"/media/recording/{row.id}?ticket={ticket}"
        db.session.rollback()
    return path


def _add_recording(portal_id: int) -> Recording:
    pbx = db.session.query(Pbx).filter_by(portal_id=portal_id, key="moscow").one()
    names = {"portal_id": portal_id, "pbx_id": pbx.id, "pbx_key": "moscow", "entry_id": _ENTRY}
    call = Call(**names, state="finished", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = Recording(portal_id=portal_id, call_id=call.id, recording_id=_ENTRY, part=1, state="attached")
    db.session.add(row)
    db.session.commit()
    return row
