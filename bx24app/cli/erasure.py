"""`bx24app forget`: one person's data erased."""

from __future__ import annotations

import click

from bx24app.cli.base import PORTAL_OPTION, InputError, app_context, format_count, load_id_and_state


@click.command("forget")
@PORTAL_OPTION
@click.option("--number", required=True, help="The person's telephone number, in any usual form.")
def forget_person(member_id: str, number: str) -> None:
    """Erase one person from journal, inbox and spool. Bitrix24, Mango and backups are not touched.

    Example: bx24app forget --portal a223c6b3710f85df22e9377d6c4f7553 --number +79160000001
    """
    from bx24app.domain import phone
    from bx24app.operations import erasure

    normalised = phone.normalise(number)
    if normalised is None:
        raise InputError(f"{number!r} is not a telephone number such as +79160000001")
    with app_context():
        portal_id, _ = load_id_and_state(member_id)
        result = erasure.erase_person(portal_id, normalised)
    for count, noun in (
        (result.calls, "call"),
        (result.deliveries, "delivery"),
        (result.recordings, "recording"),
        (result.files, "file"),
        (result.notifications, "notification"),
    ):
        click.echo(f"{format_count(count, noun)} erased")
    if result.employees:
        entries = format_count(result.employees, "directory entry")
        click.echo(f"{entries} emptied: the daily synchronisation reads again whatever the portal still holds")
    if result.is_in_settings:
        click.echo(
            "the current settings contain this number (an employee's mobile, or a rule): remove it there, then run "
            "this again"
        )
    if result.remaining_calls:
        raise click.ClickException(
            f"{format_count(result.remaining_calls, 'call')} with this number still under way and not erased: run this "
            "again when no call is under way"
        )
