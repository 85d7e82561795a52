"""`bx24app replay`: stored notifications or dead deliveries run again."""

from __future__ import annotations

import click

from bx24app.cli.base import PORTAL_OPTION, InputError, app_context, format_count, load_id_and_state


@click.command("replay")
@PORTAL_OPTION
@click.option("--call", "entry_id", metavar="ENTRY_ID", help="Run the stored notifications of this call again.")
@click.option("--dead", is_flag=True, help="Try again every delivery that the portal refused.")
def replay_calls(member_id: str, entry_id: str | None, dead: bool) -> None:
    """Run stored notifications or dead deliveries again. Nothing is sent to the portal a second time.

    Example: bx24app replay --portal a223c6b3710f85df22e9377d6c4f7553 --dead
    """
    if (entry_id is None) != dead:
        raise click.UsageError("give either --call ENTRY_ID or --dead")
    with app_context():
        portal_id, state = load_id_and_state(member_id)
        if state == "removed":
            raise InputError(f"the portal {member_id} has removed the app: nothing can be sent to it")
        click.echo(_replay_dead(portal_id) if entry_id is None else _replay_entry(portal_id, entry_id))
        if state in ("paused", "needs_admin"):
            click.echo(f"the portal is {state}: nothing is sent to it until that ends")


def _replay_entry(portal_id: int, entry_id: str) -> str:
    from bx24app.calls import replay

    result = replay.replay_entry(portal_id, entry_id)
    if result.notifications:
        return f"{format_count(result.notifications, 'notification')} run again"
    if result.calls:
        raise InputError(f"no notification of the call {entry_id} is stored: it was deleted, or never received")
    raise InputError(f"no call {entry_id} in this portal: `bx24app calls export` lists the calls")


def _replay_dead(portal_id: int) -> str:
    from bx24app.calls import replay

    result = replay.retry_dead(portal_id)
    text = f"{format_count(result.deliveries, 'dead delivery')} of {format_count(result.calls, 'call')} tried again"
    if result.still_dead:
        text += (
            f"; {result.still_dead} left dead: a dial command or a card that is too late, or one that was replaced for "
            "another employee"
        )
    return text
