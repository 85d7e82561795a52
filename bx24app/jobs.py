"""RQ entry points: app context, one use case each. A job may run twice, late, or never."""

from __future__ import annotations

from typing import Any

from flask import Flask

_app: Flask | None = None


def use_app(app: Flask) -> None:
    """Set the app of this worker process."""
    global _app
    _app = app


def _app_context() -> Any:
    if _app is None:
        raise RuntimeError("no app: run the worker by `bx24app worker`, or call jobs.use first")
    return _app.app_context()


def drain(portal_id: int) -> None:
    """Everything that is due for one portal."""
    from bx24app.calls import drain as use_case

    with _app_context():
        use_case.drain(portal_id)


def carry_recording(recording_id: int) -> None:
    """Fetch one recording and attach it."""
    from bx24app.calls.recordings import transfer

    with _app_context():
        transfer.transfer_recording(recording_id)


def sweep() -> None:
    """Ring for everything that is due and whose wake-up was lost."""
    from bx24app.calls import sweep as sweeps

    with _app_context():
        sweeps.sweep()


def look_after_portals() -> None:
    """Grants kept fresh, portals in trouble asked again, daily looks."""
    from bx24app.calls import sweep as sweeps

    with _app_context():
        sweeps.maintain_portals()


def count_figures() -> None:
    """The statistics follow the calls that changed."""
    from bx24app.calls.statistics import aggregation

    with _app_context():
        aggregation.refresh_counts()


def look(portal_id: int) -> None:
    """The daily look at one portal: licence, CRM mode, users."""
    from bx24app.portals import sync

    with _app_context():
        sync.sync_portal(portal_id)


def tell_dismissed(portal_id: int) -> None:
    """Administrators hear of dismissed employees whom the settings name."""
    from bx24app.operations.alerts import dismissed_employees

    with _app_context():
        dismissed_employees.notify_administrators(portal_id)


def watch() -> None:
    """Administrators hear of troubles in Bitrix24 itself."""
    from bx24app.operations.alerts import monitor

    with _app_context():
        monitor.check_all()


def close_silent() -> None:
    """Open calls whose end never came."""
    from bx24app.calls import sweep as sweeps

    with _app_context():
        sweeps.close_silent_calls()


def try_again(portal_id: int, user_id: int) -> None:
    """Everything that the portal refused and every lost recording, once more: an administrator asked for it."""
    from bx24app.calls import replay

    with _app_context():
        replay.retry_everything(portal_id, replay.Actor("frame", user_id))


def prune() -> None:
    """Old rows, old files and portals that are gone go, in small steps."""
    from bx24app.operations import retention

    with _app_context():
        retention.prune()


def lines(portal_id: int) -> None:
    """The portal's external lines follow the settings; where the portal cannot be asked now, a little later."""
    from datetime import timedelta

    from bx24app.bitrix24.errors import Later
    from bx24app.infra import queue
    from bx24app.models import utcnow
    from bx24app.portals import external_lines as use_case
    from bx24app.portals import outgoing_line

    with _app_context():
        try:
            use_case.sync_lines(portal_id)
            outgoing_line.fetch(portal_id)
        except Later:
            queue.enqueue_background("lines", portal_id, when=utcnow() + timedelta(minutes=1))


def reconcile() -> None:
    """Send off the PBXs whose statistics are to be compared."""
    from bx24app.calls.reconciliation import backfill
    from bx24app.calls.reconciliation import schedule as use_case

    with _app_context():
        use_case.queue_due_pbxs()
        backfill.requeue_lost()


def reconcile_step(order: dict[str, Any]) -> None:
    """One request of one PBX's look for lost notifications."""
    from bx24app.calls.reconciliation import schedule as use_case

    with _app_context():
        use_case.run_step(order)


def backfill_step(order: dict[str, Any]) -> None:
    """One request, or one stretch, of a back-fill."""
    from bx24app.calls.reconciliation import backfill as use_case

    with _app_context():
        use_case.run_step(order)
