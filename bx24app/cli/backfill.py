"""`bx24app backfill`: the calls of a chosen period, told to the portal afterwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bx24app.cli.base import InputError, app_context, get_portal

if TYPE_CHECKING:
    from bx24app.calls.reconciliation.backfill import BackfillProgress

_TIME_TYPE = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


@click.command("backfill")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
@click.option(
    "--from", "start", type=_TIME_TYPE, required=True, help="Beginning of the period, UTC where no offset is given."
)
@click.option("--to", "end", type=_TIME_TYPE, required=True, help="End of the period.")
@click.option("--pbx", "pbx_key", help="Only this PBX; without it all of the portal.")
@click.option("--crm", "records", is_flag=True, help="Calls older than a day make CRM records too.")
@click.option("--follow/--no-follow", default=True, help="Show the progress until it is over; it goes on without us.")
def backfill_calls(member_id: str, start: datetime, end: datetime, pbx_key: str | None, records: bool, follow: bool) -> None:
    """Tell the portal the calls of a period that it does not have: of an outage, or from before the installation.

    The portal's own statistics are read first: the same number and direction within a minute is left out, whoever wrote it. The
    workers do it, when nothing else needs the portal's budget; the same command again goes on with what was left.

    Example: bx24app backfill --portal a223c6b3710f85df22e9377d6c4f7553 --from 2026-11-01 --to 2026-11-08
    """
    from bx24app.calls.reconciliation import backfill as use_case
    from bx24app.models import audit

    start, end = (at if at.tzinfo else at.replace(tzinfo=UTC) for at in (start, end))
    with app_context():
        portal = get_portal(member_id)
        if portal.state == "removed":
            raise InputError(f"the portal {member_id} has removed the app: nothing can be told to it")
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

    said = ""
    while True:
        rows = [one for one in use_case.list_progress(portal_id, 100) if one.id in ids]
        db.session.rollback()
        words = "; ".join(_describe_progress(one) for one in sorted(rows, key=lambda one: one.id))
        if words != said:
            click.echo(words)
            said = words
        if all(one.state != "running" for one in rows) and not any(one.waiting_commands for one in rows if one.state == "done"):
            break
        time.sleep(1)
    stopped = [one for one in rows if one.state != "done"]
    if stopped:
        raise click.ClickException("; ".join(f"{one.pbx} stopped: {one.problem or 'by a person'}" for one in stopped))


def _describe_progress(one: BackfillProgress) -> str:
    words = f"{one.pbx}: {one.fraction:.0%}, {one.total_calls} calls, {one.delivered_calls} told, {one.skipped_calls} there already"
    if one.waiting_commands:
        words += f", {one.waiting_commands} commands on their way"
    return f"{words} ({one.problem})" if one.problem and one.state == "running" else words
