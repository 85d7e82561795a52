"""`bx24app backfill`: load the past calls of a chosen period into the portal."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bx24app.cli.base import PORTAL_OPTION, InputError, app_context, get_portal

if TYPE_CHECKING:
    from bx24app.calls.reconciliation.backfill import BackfillProgress

_TIME_TYPE = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


@click.command("backfill")
@PORTAL_OPTION
@click.option(
    "--from", "start", type=_TIME_TYPE, required=True, help="Beginning of the period, UTC if no offset is given."
)
@click.option("--to", "end", type=_TIME_TYPE, required=True, help="End of the period.")
@click.option("--pbx", "pbx_key", help="Only this PBX; by default all PBXs of the portal.")
@click.option("--crm", "records", is_flag=True, help="Create CRM records for calls older than a day too.")
@click.option(
    "--follow/--no-follow",
    default=True,
    help="Show the progress until the back-fill ends; it continues without this command.",
)
def backfill_calls(
    member_id: str, start: datetime, end: datetime, pbx_key: str | None, records: bool, follow: bool
) -> None:
    """Load calls that the portal does not have: calls during an outage, or before the installation.

    The portal's own statistics are read first: a call with the same number and direction within a minute is skipped,
    whichever app recorded it. The workers load the calls while nothing else needs the portal's request budget; the same
    command again continues where it stopped.

    Example: bx24app backfill --portal a223c6b3710f85df22e9377d6c4f7553 --from 2026-11-01 --to 2026-11-08
    """
    from bx24app.calls.reconciliation import backfill as use_case
    from bx24app.models import audit

    start, end = (at if at.tzinfo else at.replace(tzinfo=UTC) for at in (start, end))
    with app_context():
        portal = get_portal(member_id)
        if portal.state == "removed":
            raise InputError(f"the portal {member_id} has removed the app: nothing can be sent to it")
        period = {"start": start.isoformat(), "end": end.isoformat()}
        audit.record(portal.id, None, "cli", "backfill", **period, pbx=pbx_key, records=records)
        try:
            ids = use_case.begin(portal.id, start, end, pbx_key, records)
        except use_case.InvalidBackfill as error:
            raise InputError(str(error)) from None
        if not follow:
            click.echo(f"begun: {len(ids)}")
            return
        _follow_progress(portal.id, ids)


def _follow_progress(portal_id: int, ids: list[int]) -> None:
    from bx24app.calls.reconciliation import backfill as use_case
    from bx24app.models import db

    printed = ""
    while True:
        rows = [row for row in use_case.list_progress(portal_id, 100) if row.id in ids]
        db.session.rollback()
        line = "; ".join(_describe_progress(row) for row in sorted(rows, key=lambda row: row.id))
        if line != printed:
            click.echo(line)
            printed = line
        if all(row.state != "running" for row in rows) and not any(
            row.waiting_commands for row in rows if row.state == "done"
        ):
            break
        time.sleep(1)
    stopped = [row for row in rows if row.state != "done"]
    if stopped:
        raise click.ClickException("; ".join(f"{row.pbx} stopped: {row.problem or 'by a person'}" for row in stopped))


def _describe_progress(row: BackfillProgress) -> str:
    text = (
        f"{row.pbx}: {row.fraction:.0%}, {row.total_calls} calls, {row.delivered_calls} delivered, {row.skipped_calls} "
        "already there"
    )
    if row.waiting_commands:
        text += f", {row.waiting_commands} commands waiting"
    return f"{text} ({row.problem})" if row.problem and row.state == "running" else text
