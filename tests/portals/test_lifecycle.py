"""What only an administrator can mend; a domain that changes; the daily look."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app import jobs
from bx24app.bitrix24.errors import NeedsAdmin, NotSent, PortalError
from bx24app.domain import probing
from bx24app.models import Audit, Intent, utcnow
from bx24app.portals import clients, lifecycle, probes, sync
from tests.support.installations import change, grant, installed, opened, row, rows, w
from tests.support.stack import World

__all__ = ["w"]


@pytest.mark.parametrize(
    ("switch", "trouble"),
    [
        ("payment_required", "payment"),
        ("wrong_license", "tariff"),
        ("no_rest", "tariff"),
        ("overload", "overload"),
        ("scope_removed", "scope"),
        ("access_removed", "access"),
        ("grant_revoked", "authorise"),
        ("deleted", "closed"),
        ("closed", "closed"),
    ],
)
def test_a_trouble_stops_keeps_and_resumes_by_itself(w: World, switch: str, trouble: str) -> None:
    portal_id = installed(w)
    w.portal.switches.switch_on(switch)
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("telephony.externalCall.show", {"CALL_ID": "x"})
    lifecycle.mark_needs_admin(portal_id, met.value)
    assert (row(portal_id).state, row(portal_id).trouble) == ("needs_admin", trouble)
    assert grant(portal_id) is not None
    probe_at = row(portal_id).probe_at
    assert probe_at is not None
    assert probe_at - utcnow() <= probing.PROBE_PAUSE, "with the job's own interval it is found within 60 s"
    make_due(portal_id)
    probes.probe_due_portals()
    assert row(portal_id).state == "needs_admin"
    w.portal.switches.switch_off()
    make_due(portal_id)
    probes.probe_due_portals()
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", trouble if trouble == "scope" else None)


def make_due(portal_id: int) -> None:
    change(portal_id, probe_at=utcnow() - timedelta(seconds=1))


def test_a_portal_in_trouble_that_is_silent_is_asked_again_later(w: World) -> None:
    portal_id = installed(w)
    lifecycle.mark_needs_admin(portal_id, NeedsAdmin("payment"))
    w.portal.switches.switch_on("http502")
    make_due(portal_id)
    probes.probe_due_portals()
    portal = row(portal_id)
    assert (portal.state, portal.trouble) == ("needs_admin", "payment")
    assert portal.probe_at is not None


def test_rights_taken_away(w: World) -> None:
    portal_id = installed(w)
    w.portal.switches.switch_on("right_removed", method="telephony.*")
    client = clients.client_by_id(portal_id)
    with pytest.raises(NeedsAdmin) as met:
        client.call("telephony.externalCall.show", {"CALL_ID": "x"})
    assert met.value.code == "rights"
    said = client.batch([("a", "telephony.externalCall.show", {"CALL_ID": "x"}), ("b", "crm.settings.mode.get", {})])
    assert isinstance(said["a"], NeedsAdmin)
    assert not isinstance(said["b"], PortalError)


def test_a_dead_grant_is_mended_by_an_administrators_opening(w: World) -> None:
    portal_id = installed(w)
    w.portal.add_user(2, "Second", admin=True)
    w.sandbox.call(w.portal.dismiss, 1)
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    assert met.value.code in ("authorise", "rights")
    lifecycle.mark_needs_admin(portal_id, met.value)
    opened(w, user_id=12)
    assert row(portal_id).state == "needs_admin"
    opened(w, user_id=2)
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)
    assert grant(portal_id).user_id == 2
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "2"


def test_pause_keeps_the_trouble_that_was_there(w: World) -> None:
    portal_id = installed(w)
    lifecycle.pause(portal_id, 1, paused=True)
    assert row(portal_id).state == "paused"
    lifecycle.mark_needs_admin(portal_id, NeedsAdmin("payment"))
    assert row(portal_id).state == "paused"
    lifecycle.pause(portal_id, 1, paused=False)
    assert row(portal_id).state == "active"
    lifecycle.mark_needs_admin(portal_id, NeedsAdmin("payment"))
    lifecycle.pause(portal_id, 1, paused=True)
    lifecycle.pause(portal_id, 1, paused=False)
    assert (row(portal_id).state, row(portal_id).trouble) == ("needs_admin", "payment")
    lifecycle.resume(portal_id)
    assert row(portal_id).state == "active"
    assert [one.what for one in rows(Audit, user_id=1, source="frame")].count("paused") == 2


def test_a_changed_domain_is_followed_verified_and_stored(w: World) -> None:
    portal_id = installed(w)
    client = clients.client_by_id(portal_id)
    old = w.portal.domain
    new = w.sandbox.move_portal(w.portal)
    assert new != old
    assert client.call("profile").result["ID"] == "1"
    assert (row(portal_id).domain, row(portal_id).client_endpoint) == (new, f"http://{new}/rest/")
    assert opened(w).portal_id == portal_id


def test_a_redirect_that_the_auth_server_does_not_know_is_not_followed(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    elsewhere = w.sandbox.portals[1]
    for address in (
        f"{elsewhere.url}/rest/profile",
        "http://169.254.169.254/",
        "http://evil.example.invalid/",
        "/login/",
    ):
        with pytest.raises(NotSent):
            clients.client_by_id(portal_id)._token_source.follow_redirect(address)
    assert row(portal_id).domain == w.portal.domain
    assert not any(entry.params for entry in elsewhere.request_log)


def test_each_daily_look_is_due_once(w: World) -> None:
    portal_id = installed(w)
    jobs.look(portal_id)
    change(portal_id, looked_at=None)
    assert sync.claim_due_syncs() == [portal_id]
    assert sync.claim_due_syncs() == []


def test_a_look_that_failed_is_due_within_the_hour(w: World) -> None:
    portal_id = installed(w)
    w.portal.switches.switch_on("http502")
    jobs.look(portal_id)
    [intent] = rows(Intent, job="look")
    assert timedelta(minutes=59) < intent.due_at - utcnow() <= timedelta(hours=1)
    assert row(portal_id).looked_at is None
    assert row(portal_id).state == "active"


def test_one_budget_for_openings_and_calls(w: World) -> None:
    portal_id = installed(w)
    before = clients.portal_budget(portal_id).available_requests()
    w.app.extensions["bx24app"].redis.delete(f"admin:{w.portal.member_id}:12")
    opened(w, user_id=12)
    assert clients.portal_budget(portal_id).available_requests() < before + 2


def test_a_directory_is_fetched_at_once(w: World) -> None:
    portal_id = installed(w)
    assert sync.fetch_users(portal_id) == {1, 8, 12, 15}
    w.portal.switches.switch_on("html")
    with pytest.raises(PortalError):
        sync.fetch_users(portal_id)
