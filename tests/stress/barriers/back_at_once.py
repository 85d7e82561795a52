"""Issue 14: "Back at once", and what people read of refusals, retries and look-ups."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

PROBES = "tests/portals/test_probes.py::test_"
PROBING = ("tests/domain/test_probing.py",)
AT_ONCE = ("tests/end_to_end/test_back_at_once.py",)
SESSIONS = "tests/portals/test_ended_sessions.py::test_"
RETRIES = "tests/web/calls/test_listing.py::test_"
LOOKUPS = ("tests/web/calls/test_refused_lookups.py",)
DECISIONS = ("tests/domain/calls/test_refused_lookups.py",)
SHARED = ("tests/calls/outbox/test_shared_batches.py",)
BANNER = (
    "tests/web/overview/test_home.py"
    "::test_refused_notifications_are_told_from_the_third_in_a_row_until_one_is_accepted",
)

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
    Barrier(
        "back", "portals/clients.py",
        "        client.on_success = resume\n", "        pass\n",
        (f"{PROBES}any_request_that_succeeds_ends_the_state",),
    ),
    Barrier(
        "back", "portals/clients.py",
        " and trouble not in lifecycle.TRIAL_PROBLEMS:", ":",
        (f"{PROBES}a_trial_without_anything_to_deliver_ends_after_two_minutes",),
    ),
    Barrier(
        "back", "portals/frame_auth.py",
        "    if admin and is_locked and installed_id is not None:\n", "    if False:\n",
        (f"{PROBES}an_administrators_opening_asks_at_once",),
    ),
    Barrier(
        "back", "portals/frame_auth.py",
        "if admin and is_locked and installed_id", "if is_locked and installed_id",
        (f"{PROBES}an_administrators_opening_asks_at_once",),
    ),
    Barrier(
        "back", "web/overview/portal_state.py",
        "        probes.probe_now(portal_id)\n", "        pass\n",
        (f"{PROBES}check_now_asks_at_once_and_says_what_came_of_it",),
    ),
    Barrier(
        "back", "web/overview/portal_state.py",
        "return max(0, round((at - utcnow()).total_seconds())) if at is not None else 0", "return 0",
        (f"{PROBES}check_now_asks_at_once_and_says_what_came_of_it",),
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        "        if portal.trouble in TRIAL_PROBLEMS:\n", "        if False:\n",
        (f"{PROBES}a_single_method_is_tried_by_a_delivery",),
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        "portal.probe_at = utcnow() + probing.TRIAL_LASTS", "portal.probe_at = None",
        (f"{PROBES}a_trial_without_anything_to_deliver_ends_after_two_minutes",),
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        "        end_problem(portal)\n    db.session.commit()\n\n\ndef end_problem",
        "        pass\n    db.session.commit()\n\n\ndef end_problem",
        (f"{PROBES}a_trial_without_anything_to_deliver_ends_after_two_minutes",),
    ),
    Barrier(
        "back", "portals/lifecycle.py",
        '        if portal.state == "needs_admin":\n            portal.probe_at = utcnow()\n', "",
        (f"{PROBES}a_pause_ends_with_a_question",),
    ),
    Barrier(
        "back", "calls/outbox/portal_request.py",
        "        lifecycle.hurry_probe(portal)\n", "        pass\n",
        (f"{PROBES}a_portal_locked_for_weeks_is_asked_seldom_until_a_call_comes",),
    ),
    Barrier(
        "back", "calls/outbox/portal_request.py",
        "        lifecycle.end_problem(portal)\n", "        pass\n",
        (f"{PROBES}a_single_method_is_tried_by_a_delivery",),
    ),
    Barrier(
        "back", "portals/probes.py",
        "    if breaker.read_state().failures:\n        breaker.record_success()\n", "",
        (f"{PROBES}a_silent_portal_is_asked_at_the_pace_of_its_circuit_breaker",),
    ),
    Barrier(
        "back", "portals/probes.py",
        "probing.silence_pause(breaker.read_state().pause)", "probing.PROBE_PAUSE",
        (f"{PROBES}a_silent_portal_is_asked_at_the_pace_of_its_circuit_breaker",),
    ),
    Barrier(
        "back", "portals/probes.py",
        "due.order_by(waits.desc(), Portal.probe_at)", "due.order_by(Portal.probe_at)",
        (f"{PROBES}many_portals_are_asked_side_by_side_those_with_calls_first",),
    ),
    Barrier(
        "back", "portals/probes.py",
        "parts = [ids[first::PROBE_THREADS] for first in range(min(PROBE_THREADS, len(ids)))]", "parts = [ids]",
        (f"{PROBES}many_portals_are_asked_side_by_side_those_with_calls_first",),
    ),
    Barrier(
        "back", "portals/probes.py",
        "        lifecycle.resume(portal_id)\n", "        pass\n",
        (f"{PROBES}a_trial_without_anything_to_deliver_ends_after_two_minutes",),
    ),
    # Cards that hang open are closed, and none opens for a call that is over.
    Barrier("back", "calls/outbox/stale_cards.py", "if row.call_id in over and _is_unsent(row)]", "if False]", AT_ONCE),
    Barrier(
        "back", "calls/outbox/batches.py",
        "return not is_card(rows), rows[0].created_at", "return is_card(rows), rows[0].created_at", SHARED,
    ),
    # An open page tells the real reason.
    Barrier(
        "reason", "web/launch/refusals.py",
        '    if state in ("", "removed"):', "    if False:", (f"{SESSIONS}a_removed_application_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        '    if state == "needs_admin":', "    if False:",
        (f"{SESSIONS}a_portal_that_gives_no_token_and_refuses_us_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        "    if isinstance(error, PortalRenamed):", "    if False:",
        (f"{SESSIONS}the_new_address_of_a_portal_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        "    if lookup.is_dismissed(ended.portal_id, ended.user_id):", "    if False:",
        (f"{SESSIONS}a_dismissed_employee_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        "    if isinstance(error, UnknownClient):", "    if False:",
        (f"{SESSIONS}an_application_that_is_registered_nowhere_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        "    if isinstance(error, AddressProblem):", "    if False:",
        (f"{SESSIONS}a_second_name_of_the_portal_is_told",),
    ),
    Barrier(
        "reason", "web/launch/refusals.py",
        "if isinstance(error, portal_errors.NeedsAdmin) and error.code in OWN_ACCESS_CODES:", "if False:",
        ("tests/web/launch/test_app_frame.py::test_a_portal_that_cannot_be_asked_is_said_in_words",),
    ),
    # "Repeat all" says what really happened.
    Barrier(
        "retry", "calls/retry_report.py",
        "elif row.done_at is not None and row.done_at >= since:", "elif False:",
        (f"{RETRIES}a_retry_tells_what_came_of_it",),
    ),
    Barrier(
        "retry", "calls/retry_report.py",
        'progress.failed += row.state in ("lost", "none")', "pass", (f"{RETRIES}a_retry_tells_what_came_of_it",),
    ),
    Barrier(
        "retry", "calls/retry_report.py",
        "            if row.reason:\n                progress.rows.append(row)\n", "",
        (f"{RETRIES}a_retry_tells_what_came_of_it",),
    ),
    Barrier(
        "retry", "calls/retry_report.py",
        "return self.note.is_pending or bool(self.calls.waiting or self.recordings.waiting)", "return True",
        (f"{RETRIES}a_retry_tells_what_came_of_it",),
    ),
    Barrier(
        "retry", "calls/replay.py",
        "        retry_report.store_note(portal_id, calls=calls)\n", "        pass\n",
        (f"{RETRIES}what_waits_is_hurried_and_what_was_unreadable_is_read_again",),
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
        (
            "tests/end_to_end/test_refused_lookups.py"
            "::test_the_dry_run_does_not_know_deals_that_the_portal_did_not_name",
        ),
    ),
]  # fmt: skip
