"""`bx24app calls`: the call journal."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from bx24app.cli.base import PORTAL_OPTION, app_context, get_portal


def _parse_moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """An ISO 8601 date or moment as an aware one; without an offset it is UTC."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a date or time such as 2026-01-31 or 2026-01-31T09:00:00+03:00"
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@click.group()
def calls() -> None:
    """The call journal."""


@calls.command("export")
@PORTAL_OPTION
@click.option("--since", callback=_parse_moment, metavar="ISO", help="Only calls that began then or later.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def export_calls(member_id: str, since: datetime | None, form: str) -> None:
    """Write the calls to standard output, one a row, oldest first.

    Example: bx24app calls export --portal a223c6b3710f85df22e9377d6c4f7553 --since 2026-01-31 --format csv
    """
    from bx24app.calls.journal import export
    from bx24app.models import audit, db

    with app_context():
        portal_id = get_portal(member_id).id
        audit.record(portal_id, None, "cli", "journal exported", format=form)
        db.session.commit()
        sys.stdout.writelines(export.export_portal(portal_id, since, form))
