"""A portal that grants little: what only one feature needs never stops calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.models import Call, Delivery, Portal, db
from bx24app.portals import sync
from tests.end_to_end.test_rules import ANSWERED, MISSED, office, ring
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, in_portal, post
from tests.support.stack import World, until

NOTICE = {"name": "Tell", "when": {"direction": "in"}, "do": [{"notify": {"user": 11, "text": "A call"}}]}


@pytest.fixture
def few(earth: World) -> Iterator[World]:
    """The application has the scopes telephony and crm alone, and its user sees no statistics."""
    (app,) = earth.portal.apps.values()
    scopes, admin = list(app.scopes), earth.portal.users[1]
    was_admin, rights = admin.admin, dict(admin.rights)
    app.scopes[:] = ["telephony", "crm"]
    admin.admin, admin.rights["statistics"] = False, False
    yield earth
    app.scopes[:] = scopes
    admin.admin, admin.rights = was_admin, rights
    earth.sandbox.call(earth.portal.switches.switch_off)


def _sync(earth: World) -> None:
    with earth.app.app_context():
        portal_id = db.session.scalars(db.select(Portal.id)).one()
        db.session.rollback()
        assert sync.sync_portal(portal_id) is None, "the sync is done although parts are refused"
        db.session.remove()


def test_telephony_and_crm_are_enough_for_every_call(few: World) -> None:
    hook = office(few, NOTICE, missed="activity")
    missed = ring(few, hook, MISSED)
    assert ("Notify", "dead", "insufficient_scope") in missed.commands()
    _sync(few)
    answered = ring(few, hook, ANSWERED)
    for told in (missed, answered):
        states = {kind: state for kind, state, _ in told.commands()}
        assert (states["Register"], states["Finish"]) == ("done", "done")
    row = few.portal_row()
    assert (row["state"], row["trouble"]) == ("active", None)


def test_a_lost_answer_stops_nobody_where_statistics_may_not_be_read(few: World) -> None:
    hook = office(few)
    few.sandbox.call(
        lambda: few.portal.switches.switch_on("close_after", times=1, method="telephony.externalcall.finish")
    )
    uncertain = _send(few, hook)
    until(lambda: _finish_reason(few, uncertain).startswith("ACCESS_DENIED"), "the look-up was not refused")
    other = _send(few, hook)
    until(lambda: len(in_portal(few, other)["calls"]) == 1, "the next call waits too")
    assert few.portal_row()["state"] == "active"
    assert len(in_portal(few, uncertain)["calls"]) == 1, "the lost answer's finish was carried out, and never again"


def _send(earth: World, hook: str) -> ReplayedCall:
    call = as_new_call(ANSWERED)
    earth.sandbox.call(absorb, earth.mango, call.notices)
    for notice in call.notices:
        assert post(hook, notice) == 200
    return call


def _finish_reason(earth: World, call: ReplayedCall) -> str:
    with earth.app.app_context():
        query = db.select(Delivery.reason).join(Call, Call.id == Delivery.call_id)
        reason = db.session.scalars(query.where(Call.entry_id == call.entry_id, Delivery.kind == "Finish")).first()
        db.session.rollback()
        return reason or ""
