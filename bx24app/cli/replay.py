"""`bx24app replay`, `forget`: calls run again, a person erased."""

from __future__ import annotations

import click

from bx24app.cli.base import InputError, app_context, get_portal

_PORTAL_OPTION = click.option("--portal", "member_id", required=True, help="The portal's member_id.")


def _load_id_and_state(member_id: str) -> tuple[int, str]:
    """(row id, state); no transaction stays open."""
    from bx24app.models import db

    portal = get_portal(member_id)
    found = portal.id, portal.state
    db.session.rollback()
    return found


def _format_count(number: int, one: str) -> str:
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{number} {one if number == 1 else many}"


@click.command("replay")
@_PORTAL_OPTION
@click.option("--call", "entry_id", metavar="ENTRY_ID", help="Run the stored notifications of this call again.")
@click.option("--dead", is_flag=True, help="Try again every delivery that the portal refused.")
def replay_calls(member_id: str, entry_id: str | None, dead: bool) -> None:
    """Run stored notifications or dead deliveries again. What the portal was told already is not told twice.

    Example: bx24app replay --portal a223c6b3710f85df22e9377d6c4f7553 --dead
    """
    if (entry_id is None) != dead:
        raise click.UsageError("give either --call ENTRY_ID or --dead")
    with app_context():
        portal_id, state = _load_id_and_state(member_id)
        if state == "removed":
            raise InputError(f"the portal {member_id} has removed the app: nothing can be told to it")
        click.echo(_replay_dead(portal_id) if entry_id is None else _replay_entry(portal_id, entry_id))
        if state in ("paused", "needs_admin"):
            click.echo(f"the portal is {state}: it is told nothing before that ends")


def _replay_entry(portal_id: int, entry_id: str) -> str:
    from bx24app.calls import replay as use_case

    heard = use_case.replay_entry(portal_id, entry_id)
    if heard.notifications:
        return f"{_format_count(heard.notifications, 'notification')} run again"
    if heard.calls:
        raise InputError(f"no notification of the call {entry_id} is kept any more, or it never had one")
    raise InputError(f"no call {entry_id} in this portal: `bx24app calls export` names them")


def _replay_dead(portal_id: int) -> str:
    from bx24app.calls import replay as use_case

    revived = use_case.retry_dead(portal_id)
    words = f"{_format_count(revived.deliveries, 'dead delivery')} of {_format_count(revived.calls, 'call')} tried again"
    if revived.still_dead:
        words += (
            f"; {revived.still_dead} left dead: a dialling or a card whose moment is over, or made anew for somebody else"
        )
    return words


@click.command("forget")
@_PORTAL_OPTION
@click.option("--number", required=True, help="The person's telephone, in any usual form.")
def forget_person(member_id: str, number: str) -> None:
    """Erase one person from journal, inbox and spool. Bitrix24, Mango and backups are not touched.

    Example: bx24app forget --portal a223c6b3710f85df22e9377d6c4f7553 --number +79160000001
    """
    from bx24app.domain import phone
    from bx24app.operations import erasure as use_case

    normal = phone.normalise(number)
    if normal is None:
        raise InputError(f"{number!r} is no telephone number such as +79160000001")
    with app_context():
        portal_id, _ = _load_id_and_state(member_id)
        gone = use_case.erase_person(portal_id, normal)
    for count, what in (
        (gone.calls, "call"),
        (gone.deliveries, "delivery"),
        (gone.recordings, "recording"),
        (gone.files, "file"),
        (gone.notifications, "notification"),
    ):
        click.echo(f"{_format_count(count, what)} erased")
    if gone.employees:
        click.echo(f"{_format_count(gone.employees, 'entry')} of the directory emptied: what the portal still says comes back with the daily look")
    if gone.is_in_settings:
        click.echo("the present settings name this number (an employee's mobile, or a rule): take it out there, then run this again")
    if gone.kept_calls:
        raise click.ClickException(
            f"{_format_count(gone.kept_calls, 'call')} with this number still under way, and kept: run this again when that is over"
        )
