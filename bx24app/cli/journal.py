"""`bx24app calls`, `keys`, `doctor`: what an operator does with a running installation."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from bx24app.cli.base import app_context, get_portal


def _parse_moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """An ISO 8601 date or moment as an aware one; without an offset it is UTC."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} is no moment such as 2026-01-31 or 2026-01-31T09:00:00+03:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@click.group()
def calls() -> None:
    """The call journal."""


@calls.command("export")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
@click.option("--since", callback=_parse_moment, metavar="ISO", help="Only calls that began then or later.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def export_calls(member_id: str, since: datetime | None, form: str) -> None:
    """Write one row a call to standard output, oldest first.

    Example: bx24app calls export --portal a223c6b3710f85df22e9377d6c4f7553 --since 2026-01-31 --format csv
    """
    from bx24app.calls.journal import export as journal
    from bx24app.models import audit, db

    with app_context():
        portal_id = get_portal(member_id).id
        audit.record(portal_id, None, "cli", "journal exported", format=form)
        db.session.commit()
        sys.stdout.writelines(journal.export_portal(portal_id, since, form))


@click.group()
def keys() -> None:
    """The keys that secrets are sealed with."""


@keys.command("new")
def generate_key() -> None:
    """Print a new key for BX24APP_ENCRYPTION_KEYS.

    Example: BX24APP_ENCRYPTION_KEYS=$(bx24app keys new)
    """
    from cryptography.fernet import Fernet

    click.echo(Fernet.generate_key().decode())


@keys.command("rotate")
def rotate_keys() -> None:
    """Re-encrypt all secrets with the first key of BX24APP_ENCRYPTION_KEYS; then the other keys can go.

    Example: BX24APP_ENCRYPTION_KEYS=new,old bx24app keys rotate
    """
    from bx24app.operations import key_rotation

    with app_context():
        result = key_rotation.rotate_secrets()
    click.echo(f"{result.rotated_count} secrets are sealed with the first key")
    if result.undecryptable:
        lines = "\n".join(f"  {line}" for line in result.undecryptable)
        raise click.ClickException(
            f"no key fits these; give the one they were sealed with, or enter them anew:\n{lines}"
        )


@click.command()
def doctor() -> None:
    """Check database, Redis, public address, clock, tokens and PBX credentials; exit 1 if anything is wrong.

    Example: bx24app doctor
    """
    from bx24app.operations import doctor as use_case

    good = True
    with app_context():
        for finding in use_case.run_checks():
            click.echo(str(finding))
            good = good and finding.is_ok
    sys.exit(0 if good else 1)
