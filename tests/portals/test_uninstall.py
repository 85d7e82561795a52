"""An installation ends: grants at once, personal data at once or after 30 days, and back again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from bx24app.bitrix24.errors import Gone, NeedsAdmin
from bx24app.calls.recordings import spool_files
from bx24app.models import (
    Audit,
    Base,
    Call,
    Dictionary,
    Grant,
    Notification,
    Pbx,
    PortalUser,
    Recording,
    SettingsVersion,
    db,
    utcnow,
)
from bx24app.portals import clients, lifecycle, sync
from tests.conftest import DOCUMENT, KEY, SALT
from tests.support.installations import change, event, installed, row, rows, token_of, w
from tests.support.stack import World, until

__all__ = ["w"]


def test_uninstalling_deletes_the_grant_at_once_and_keeps_the_rest_for_30_days(w: World) -> None:
    portal_id = installed(w)
    hook = connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    portal = row(portal_id)
    assert rows(Grant, portal_id=portal_id) == []
    assert portal.application_token is None
    assert portal.purge_at is not None
    assert portal.removed_at is not None
    assert 29 < (portal.purge_at - portal.removed_at).days <= 30
    with pytest.raises(NeedsAdmin):
        clients.client_by_id(portal_id).call("profile")
    assert requests.post(hook, data={}, timeout=10).status_code == 404
    assert installed(w) == portal_id
    assert (row(portal_id).state, row(portal_id).purge_at) == ("active", None)
    assert connect(w, portal_id) == hook
    assert requests.post(hook, data={}, timeout=10).status_code == 200


def connect(w: World, portal_id: int) -> str:
    """A PBX with a hook; the address of the one that is there where there is one."""
    held = rows(Pbx, portal_id=portal_id)
    if held:
        return f"{w.url}/mango/{held[0].hook_key}"
    return w.connect(DOCUMENT, {"moscow": (KEY, SALT)})["moscow"]


def test_uninstalling_with_clean_leaves_nothing_of_anybody(w: World) -> None:
    portal_id = installed(w)
    sync.sync_portal(portal_id)
    connect(w, portal_id)
    event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c", "USER_ID": "12"}, application_token=token_of(w))
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    tape = Recording(portal_id=portal_id, call_id=call.id, recording_id="r")
    db.session.add(tape)
    db.session.commit()
    spooled = spool_files.files_of([tape.id])[tape.id]
    db.session.rollback()
    spooled.parent.mkdir(parents=True, exist_ok=True)
    spooled.write_bytes(b"voice")
    w.sandbox.call(w.portal.uninstall, w.application, clean=True)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    assert rows(Call, portal_id=portal_id), "the web part deletes nothing itself: a large portal would hold its thread"
    w.work(calls=1, recordings=1)
    until(lambda: row(portal_id).purge_at is None, "not purged by a worker")
    personal = {mapper.class_ for mapper in Base.registry.mappers if "portal_id" in mapper.columns} - {Audit}
    assert {Notification, Call, Recording, PortalUser, Pbx, SettingsVersion, Grant, Dictionary} <= personal
    for table in personal:
        assert rows(table, portal_id=portal_id) == [], table
    assert not spooled.exists()
    portal = row(portal_id)
    assert (portal.domain, portal.client_endpoint, portal.installed_by) == ("", "", None)
    assert installed(w) == portal_id


def test_a_purge_whose_job_was_lost_or_cut_short_is_continued(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application, clean=True)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    shared = {"portal_id": portal_id, "pbx_id": 1, "pbx_key": "moscow", "started_at": utcnow()}
    db.session.add_all(Call(entry_id=f"e{number}", **shared) for number in range(3))
    db.session.commit()
    monkeypatch.setattr(lifecycle, "ROWS_PER_STEP", 1)
    monkeypatch.setattr(lifecycle, "seconds_left", lambda most: 0.0)
    lifecycle.purge_due()
    assert (len(rows(Call)), row(portal_id).purge_at is None) == (2, False), "its time was used up after one step"
    monkeypatch.undo()
    lifecycle.purge_due()
    assert (rows(Call), row(portal_id).purge_at) == ([], None)


def test_a_portal_that_came_back_is_not_purged(w: World) -> None:
    portal_id = installed(w)
    connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application, clean=True)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    installed(w)
    assert not lifecycle.purge(portal_id), "the job of the purge comes late"
    assert len(rows(Pbx)) == 1


def test_the_purge_comes_after_its_time(w: World) -> None:
    portal_id = installed(w)
    connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    lifecycle.purge_due()
    assert len(rows(Pbx)) == 1
    change(portal_id, purge_at=utcnow() - timedelta(seconds=1))
    lifecycle.purge_due()
    assert rows(Pbx) == []


def test_a_portal_that_vanished_without_an_event_is_removed(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(lambda: w.portal.switches.switch_on("not_installed"))
    with pytest.raises(Gone) as met:
        clients.client_by_id(portal_id).call("profile")
    lifecycle.mark_needs_admin(portal_id, met.value)
    portal = row(portal_id)
    assert portal.state == "removed"
    assert portal.purge_at is not None
    assert rows(Grant, portal_id=portal_id) == []


def test_a_portal_that_is_closed_keeps_its_installation(w: World) -> None:
    """PORTAL_DELETED is also the answer of a closed on-premise portal (_includes/system-errors.md)."""
    portal_id = installed(w)
    w.portal.deleted = True
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    lifecycle.mark_needs_admin(portal_id, met.value)
    assert (row(portal_id).state, row(portal_id).purge_at) == ("needs_admin", None)
    assert len(rows(Grant, portal_id=portal_id)) == 1


LONG_AGO = timedelta(days=91)


@pytest.mark.parametrize("state", ["active", "needs_admin", "pending", "paused"])
def test_a_portal_that_has_been_silent_for_long_is_removed_as_if_it_had_said_so(w: World, state: str) -> None:
    portal_id = installed(w)
    hook = connect(w, portal_id)
    change(
        portal_id, state=state, trouble="authorise" if state == "needs_admin" else None, answered_at=utcnow() - LONG_AGO
    )
    if state in ("pending", "paused"):
        assert lifecycle.remove_vanished() == 0, "its grant was refreshed lately: the auth server knows it"
        assert row(portal_id).state == state
        db.session.query(Grant).update({"refreshed_at": utcnow() - LONG_AGO})
        db.session.commit()
    assert lifecycle.remove_vanished() == 1
    portal = row(portal_id)
    assert portal.state == "removed"
    assert portal.purge_at is not None
    assert timedelta(days=29) < portal.purge_at - utcnow() <= timedelta(days=30)
    assert rows(Grant, portal_id=portal_id) == []
    assert [(one.source, one.what) for one in rows(Audit, what="vanished")] == [("system", "vanished")]
    assert requests.post(f"{hook}/ping", timeout=20).status_code == 404
    assert installed(w) == portal_id, "the administrator comes back within the 30 days"
    assert (row(portal_id).state, row(portal_id).purge_at) == ("active", None)
    assert connect(w, portal_id) == hook, "and finds settings and hooks as they were"
    assert lifecycle.remove_vanished() == 0


def test_a_portal_that_says_anything_has_not_vanished(w: World) -> None:
    portal_id = installed(w)
    for sign in (
        lambda: sync.sync_portal(portal_id),
        lambda: lifecycle.mark_needs_admin(portal_id, NeedsAdmin("payment")),
        lambda: lifecycle.resume(portal_id),
    ):
        change(portal_id, answered_at=utcnow() - LONG_AGO)
        sign()
        assert lifecycle.remove_vanished() == 0
    change(portal_id, answered_at=utcnow() - LONG_AGO)
    lifecycle.mark_needs_admin(portal_id, NeedsAdmin("authorise"))
    assert lifecycle.remove_vanished() == 1, "a dead grant is not the portal's own word"


def test_nobody_is_removed_for_silence_where_that_is_off(w: World) -> None:
    portal_id = installed(w)
    change(portal_id, answered_at=utcnow() - timedelta(days=5000))
    runtime = w.app.extensions["bx24app"]
    config = runtime.config
    runtime.config = config.model_copy(update={"keep_silent_days": 0})
    try:
        assert lifecycle.remove_vanished() == 0
    finally:
        runtime.config = config
    assert row(portal_id).state == "active"
