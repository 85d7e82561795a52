"""The functions that workers call by their dotted names. Those of jobs lie in Redis: neither the module nor such a
function may be renamed.

A worker pushes the application's context around each job (`infra.thread_worker`, `infra.portal_worker`). A
job may run twice, late, or never; the sweep queues again whatever is due. Use cases are imported when a job runs, so
that a process loads only what its jobs need.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bx24app.infra import queue
from bx24app.infra.background_share import one_per_tenant

TEN_MINUTES, HOUR = timedelta(minutes=10), timedelta(hours=1)


def serve_calls(portal_id: int) -> None:
    """Do everything that is due for one portal."""
    from bx24app.calls import drain as use_case

    use_case.drain(portal_id)


def serve_recordings(portal_id: int) -> None:
    """Fetch recordings of one portal from Mango Office and attach them to their calls, for a second."""
    from bx24app.calls.recordings import turns

    turns.take_turn(portal_id)


def drain(portal_id: int) -> None:
    """A deferred wake-up of a portal. Versions before 0.3 queued every wake-up as such a job."""
    queue.wake_portal(portal_id)


def carry_recordings(portal_id: int) -> None:
    """A deferred turn of a portal's recordings."""
    queue.wake_recordings(portal_id)


def carry_recording(recording_id: int) -> None:
    """A turn of this recording's portal; versions before 0.3 queued each recording."""
    from bx24app.calls.recordings import turns

    turns.take_turn_of(recording_id)


def sweep() -> None:
    """Wake every portal with something due whose wake-up was lost."""
    from bx24app.calls import sweep as use_case

    use_case.sweep()


def look_after_portals() -> None:
    """Refresh grants, queue the daily syncs."""
    from bx24app.calls import sweep as use_case

    use_case.maintain_portals()


def probe_portals() -> None:
    """Ask portals that need an administrator whether they accept requests again."""
    from bx24app.portals import probes

    probes.probe_due_portals()


def count_figures() -> None:
    """Bring the statistics up to date with the calls that changed."""
    from bx24app.calls.statistics import aggregation

    aggregation.refresh_counts()


@one_per_tenant
def look(portal_id: int) -> None:
    """Sync one portal: licence, CRM mode, users, dictionaries."""
    from bx24app.portals import intents, sync

    with intents.carry_out(portal_id, "look") as attempt:
        attempt.retry_after = sync.sync_portal(portal_id)


@one_per_tenant
def tell_dismissed(portal_id: int) -> None:
    """Notify administrators of dismissed employees whom the settings name."""
    from bx24app.operations.alerts import dismissed_employees
    from bx24app.portals import intents

    with intents.carry_out(portal_id, "tell_dismissed") as attempt:
        attempt.retry_after = None if dismissed_employees.notify_administrators(portal_id) else TEN_MINUTES


def watch() -> None:
    """Check all portals for problems and notify their administrators in Bitrix24."""
    from bx24app.operations.alerts import monitor

    monitor.check_all()


def close_silent() -> None:
    """Re-evaluate open calls whose end was never notified."""
    from bx24app.calls import sweep as use_case

    use_case.close_silent_calls()


@one_per_tenant
def try_again(portal_id: int, user_id: int) -> None:
    """Retry everything that the portal refused and every lost recording, as an administrator asked."""
    from bx24app.calls import replay
    from bx24app.portals import intents

    with intents.carry_out(portal_id, "try_again"):
        replay.retry_everything(portal_id, replay.Actor("frame", user_id))


def prune() -> None:
    """Delete old rows, old files and portals that were removed, in small steps."""
    from bx24app.operations import retention

    retention.prune()


@one_per_tenant
def purge_portal(portal_id: int) -> None:
    """Delete the data of a portal that was uninstalled and asked for that."""
    from bx24app.portals import lifecycle

    lifecycle.purge(portal_id)


def clean_spool() -> None:
    """Delete files that nobody waits for from this machine's spool; each worker process runs it at intervals."""
    from bx24app.operations import retention

    retention.clean_spool()


@one_per_tenant
def lines(portal_id: int) -> None:
    """Bring the portal's external lines in line with the settings; again until the portal has them."""
    from bx24app.portals import external_lines, intents

    with intents.carry_out(portal_id, "lines") as attempt:
        attempt.retry_after = external_lines.update_portal(portal_id)


def reconcile() -> None:
    """Queue the PBXs whose statistics are due for comparison, and back-fills whose job was lost."""
    from bx24app.calls.reconciliation import backfill, schedule
    from bx24app.models import portal_loop

    portal_loop.run_parts("reconcile", (schedule.queue_due_pbxs, backfill.requeue_lost))


@one_per_tenant
def reconcile_step(order: dict[str, Any]) -> None:
    """Do one request of one PBX's search for missing calls."""
    from bx24app.calls.reconciliation import schedule

    schedule.run_step(order)


@one_per_tenant
def backfill_step(order: dict[str, Any]) -> None:
    """Do one request, or add one part of the calls, of a back-fill."""
    from bx24app.calls.reconciliation import backfill

    backfill.run_step(order)
