"""`bx24app doctor`: is everything that the app needs in order?"""

from __future__ import annotations

import sys

import click

from bx24app.cli.base import app_context


@click.command("doctor")
def run_doctor() -> None:
    """Check database, Redis, public address, clock, tokens and PBX credentials; exit 1 if anything is wrong.

    Example: bx24app doctor
    """
    from bx24app.operations import doctor

    is_ok = True
    with app_context():
        for finding in doctor.run_checks():
            click.echo(str(finding))
            is_ok = is_ok and finding.is_ok
    sys.exit(0 if is_ok else 1)
