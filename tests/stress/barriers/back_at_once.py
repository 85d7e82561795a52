"""Issue 14: "Back at once", and what people read of refusals, retries and look-ups."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

PROBES = ("tests/portals/test_probes.py",)
PROBING = ("tests/domain/test_probing.py",)
AT_ONCE = ("tests/end_to_end/test_back_at_once.py",)
SESSIONS = ("tests/portals/test_ended_sessions.py",)
RETRIES = ("tests/web/calls/test_listing.py",)
LOOKUPS = ("tests/web/calls/test_refused_lookups.py",)
DECISIONS = ("tests/domain/calls/test_refused_lookups.py",)
SHARED = ("tests/calls/outbox/test_shared_batches.py",)
BANNER = ("tests/web/overview/test_home.py",)

BARRIERS = [
    # Within 60 s of being well, and at once by any request that succeeds.
    Barrier(
        "back", "domain/probing.py",
        "PROBE_PAUSE: Final = timedelta(seconds=35)", "PROBE_PAUSE: Final = timedelta(hours=1)", PROBING,
    ),
    Barrier(
        "back", "domain/probing.py",
        "if has_waiting or locked_for < FIRST_DAY else IDLE_PAUSE", "if locked_for < FIRST_DAY else IDLE_PAUSE",
        PROBING,
    ),
    Barrier(
        "back", "domain/probing.py",
        "if has_waiting or locked_for < FIRST_DAY else IDLE_PAUSE", "if has_waiting else IDLE_PAUSE", PROBING,
    ),
    Barrier(
        "back", "domain/probing.py",
        "min(max(PROBE_PAUSE, timedelta(seconds=circuit_seconds)), LONGEST_SILENCE)", "PROBE_PAUSE", PROBING,
    ),
    Barrier("back", "portals/clients.py", "        client.on_success = resume\n", "        pass\n", PROBES),
    Barrier("back", "portals/clients.py", " and trouble not in lifecycle.TRIAL_PROBLEMS:", ":", PROBES),
    Barrier(
        "back", "portals/frame_auth.py",
        "    if admin and is_locked and installed_id is not None:\n", "    if False:\n", PROBES,
    ),
    Barrier(
        "back", "portals/frame_auth.py",
        "if admin and is_locked and installed_id", "if is_locked and installed_id", PROBES,
    ),
    Barrier("back", "web/overview/portal_state.py", "        probes.probe_now(portal_id)\n", "        pass\n", PROBES),
    Barrier(
        "back", "web/overview/portal_state.py",
        "return max(0, round((at - utcnow()).total_seconds())) if at is not None else 0", "return 0", PROBES,
    ),
    Barrier(
        "back", "portals/lifecycle.py", "        if portal.trouble in TRIAL_PROBLEMS:\n", "        if False:\n", PROBES,
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        "portal.probe_at = utcnow() + probing.TRIAL_LASTS", "portal.probe_at = None", PROBES,
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        "        end_problem(portal)\n    db.session.commit()\n\n\ndef end_problem",
        "        pass\n    db.session.commit()\n\n\ndef end_problem",
        PROBES,
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        '        if portal.state == "needs_admin":\n            portal.probe_at = utcnow()\n', "", PROBES,
    ),
    Barrier(
        "back", "calls/outbox/portal_request.py", "        lifecycle.hurry_probe(portal)\n", "        pass\n", PROBES,
    ),
    Barrier(
        "back", "calls/outbox/portal_request.py", "        lifecycle.end_problem(portal)\n", "        pass\n", PROBES,
    ),
    Barrier(
        "back", "portals/probes.py",
        "    if breaker.read_state().failures:\n        breaker.record_success()\n", "", PROBES,
    ),
    Barrier(
        "back", "portals/probes.py", "probing.silence_pause(breaker.read_state().pause)", "probing.PROBE_PAUSE", PROBES,
    ),
    Barrier(
        "back", "portals/probes.py",
        "due.order_by(waits.desc(), Portal.probe_at)", "due.order_by(Portal.probe_at)", PROBES,
    ),
    Barrier(
        "back", "portals/probes.py",
        "parts = [ids[first::PROBE_THREADS] for first in range(min(PROBE_THREADS, len(ids)))]", "parts = [ids]", PROBES,
    ),
    Barrier("back", "portals/probes.py", "        lifecycle.resume(portal_id)\n", "        pass\n", PROBES),
    # Cards that hang open are closed, and none opens for a call that is over.
    Barrier("back", "calls/outbox/stale_cards.py", "if row.call_id in over and _is_unsent(row)]", "if False]", AT_ONCE),
    Barrier(
        "back", "calls/outbox/batches.py",
        "return not is_card(rows), rows[0].created_at", "return is_card(rows), rows[0].created_at", SHARED,
    ),
    # An open page tells the real reason.
    Barrier("reason", "web/launch/refusals.py", '    if state in ("", "removed"):', "    if False:", SESSIONS),
    Barrier("reason", "web/launch/refusals.py", '    if state == "needs_admin":', "    if False:", SESSIONS),
    Barrier("reason", "web/launch/refusals.py", "    if isinstance(error, PortalRenamed):", "    if False:", SESSIONS),
    Barrier(
        "reason", "web/launch/refusals.py",
        "    if lookup.is_dismissed(ended.portal_id, ended.user_id):", "    if False:", SESSIONS,
    ),
    Barrier("reason", "web/launch/refusals.py", "    if isinstance(error, UnknownClient):", "    if False:", SESSIONS),
    Barrier("reason", "web/launch/refusals.py", "    if isinstance(error, AddressProblem):", "    if False:", SESSIONS),
    Barrier(
        "reason", "web/launch/refusals.py",
        "if isinstance(error, portal_errors.NeedsAdmin) and error.code in OWN_ACCESS_CODES:", "if False:",
        ("tests/web/launch/test_app_frame.py",),
    ),
    # "Repeat all" says what really happened.
    Barrier(
        "retry", "calls/retry_report.py",
        "elif row.done_at is not None and row.done_at >= since:", "elif False:", RETRIES,
    ),
    Barrier("retry", "calls/retry_report.py", 'progress.failed += row.state in ("lost", "none")', "pass", RETRIES),
    Barrier(
        "retry", "calls/retry_report.py",
        "            if row.reason:\n                progress.rows.append(row)\n", "", RETRIES,
    ),
    Barrier(
        "retry", "calls/retry_report.py",
        "return self.note.is_pending or bool(self.calls.waiting or self.recordings.waiting)", "return True", RETRIES,
    ),
    Barrier(
        "retry", "calls/replay.py",
        "        retry_report.store_note(portal_id, calls=calls)\n", "        pass\n", RETRIES,
    ),
    Barrier(
        "retry", "calls/replay.py",
        'row.command = {**row.command, "show": False}', "pass", ("tests/calls/test_replay.py",),
    ),
    # All notifications refused.
    Barrier("banner", "web/overview/problems.py", "REFUSED_IN_A_ROW = 3", "REFUSED_IN_A_ROW = 30", BANNER),
    Barrier("banner", "web/overview/problems.py", '            str(gettext("Enter the keys")),\n', "", BANNER),
    Barrier(
        "banner", "calls/inbox/receiver.py",
        '"refused_count": 0, "refused_since": None}', '"refused_since": None}', BANNER,
    ),
    # A look-up that is refused never reads as "there is none".
    Barrier(
        "lookups", "web/calls/timeline_texts.py",
        '    "ReadOpen": lazy_gettext("'
        'it is not known whether the client has open ones, so no further one was created"),'
        "\n",
        "",
        LOOKUPS,
    ),
    Barrier(
        "lookups", "web/calls/timeline_texts.py",
        '    "ReadTodo": lazy_gettext("it is not known whether it is still open, so a new to-do was created"),\n', "",
        LOOKUPS,
    ),
    Barrier(
        "lookups", "web/calls/timeline_texts.py",
        '    "ReadClient": lazy_gettext("the call went on without this answer"),\n', "", LOOKUPS,
    ),
    Barrier(
        "lookups", "web/calls/timeline_texts.py",
        '    "ReadDay": lazy_gettext("the employee counts as being at work"),\n', "", LOOKUPS,
    ),
    Barrier(
        "lookups", "web/calls/timeline_texts.py",
        '    "ReadDeals": lazy_gettext("rules that are tried on this call do not know the client\'s deals"),\n', "",
        LOOKUPS,
    ),
    Barrier(
        "lookups", "calls/dry_run.py",
        'if self.stored.client_deals is None and record is not None and record["entity"] in ("contact", "company"):',
        "if False:",
        ("tests/end_to_end/test_refused_lookups.py::test_the_dry_run_does_not_know_deals_that_the_portal_did_not_name",),
    ),
]  # fmt: skip
