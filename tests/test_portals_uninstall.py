"""An installation ends: grants at once, personal data at once or after 30 days, and back again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from bx24app import portals
from bx24app.bitrix24.errors import Gone, NeedsAdmin
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
from tests.conftest import DOCUMENT, KEY, SALT
from tests.installations import change, event, installed, row, rows, token_of, w
from tests.world import World, until

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
        portals.client_by_id(portal_id).call("profile")
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
    portals.look_by_id(portal_id)
    connect(w, portal_id)
    event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c", "USER_ID": "12"}, application_token=token_of(w))
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    tape = Recording(portal_id=portal_id, call_id=call.id, recording_id="r")
    db.session.add(tape)
    db.session.commit()
    spooled = w.config.data_dir / "spool" / f"{tape.id}.mp3"
    db.session.rollback()
    spooled.parent.mkdir(parents=True, exist_ok=True)
    spooled.write_bytes(b"voice")
    w.sandbox.call(w.portal.uninstall, w.application, clean=True)
    until(lambda: row(portal_id).state == "removed" and row(portal_id).purge_at is None, "not purged")
    personal = {mapper.class_ for mapper in Base.registry.mappers if "portal_id" in mapper.columns} - {Audit}
    assert {Notification, Call, Recording, PortalUser, Pbx, SettingsVersion, Grant, Dictionary} <= personal
    for table in personal:
        assert rows(table, portal_id=portal_id) == [], table
    assert not spooled.exists()
    portal = row(portal_id)
    assert (portal.domain, portal.client_endpoint, portal.installed_by) == ("", "", None)
    assert installed(w) == portal_id


def test_the_purge_comes_after_its_time(w: World) -> None:
    portal_id = installed(w)
    connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    portals.purge_due()
    assert len(rows(Pbx)) == 1
    change(portal_id, purge_at=utcnow() - timedelta(seconds=1))
    portals.purge_due()
    assert rows(Pbx) == []


def test_a_portal_that_vanished_without_an_event_is_removed(w: World) -> None:
    portal_id = installed(w)
    w.portal.deleted = True
    with pytest.raises(Gone) as met:
        portals.client_by_id(portal_id).call("profile")
    portals.trouble(portal_id, met.value)
    portal = row(portal_id)
    assert portal.state == "removed"
    assert portal.purge_at is not None
    assert rows(Grant, portal_id=portal_id) == []
