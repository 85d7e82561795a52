"""`bx24app doctor`: is everything that the app needs in order?"""

from __future__ import annotations

import sys

import click

from bx24app.cli.base import app_context, get_portal


@click.command("doctor")
@click.option("--live", is_flag=True, help="Ask a portal and its PBXs what only they can tell; changes nothing there.")
@click.option("--portal", "member_id", help="With --live: the portal's member_id, where several are installed.")
def run_doctor(live: bool, member_id: str | None) -> None:
    """Check database, Redis, public address, clock, tokens and PBX credentials; exit 1 if anything is wrong.

    Example: bx24app doctor --live
    """
    from bx24app.operations import doctor

    is_ok = True
    with app_context():
        if member_id is not None:
            get_portal(member_id)
        for finding in doctor.run_live_checks(member_id) if live else doctor.run_checks():
            click.echo(str(finding))
            is_ok = is_ok and finding.is_ok
    sys.exit(0 if is_ok else 1)
