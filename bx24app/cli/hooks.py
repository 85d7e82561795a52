"""`bx24app hooks`: the addresses to which PBXs send notifications."""

from __future__ import annotations

import click

from bx24app.cli.base import PORTAL_OPTION, InputError, app_context, get_portal


@click.group()
def hooks() -> None:
    """The addresses to which PBXs send notifications."""


@hooks.command("rotate")
@PORTAL_OPTION
@click.option("--pbx", "key", required=True, help="The PBX's key in the settings.")
@click.option(
    "--end-old",
    is_flag=True,
    help="Rotate although an earlier address still works; that address stops working at once.",
)
def rotate_hook(member_id: str, key: str, end_old: bool) -> None:
    """Give a PBX a new hook address and print it.

    The current address works for 24 more hours: enter the new one in Mango Office by then.

    Example: bx24app hooks rotate --portal a223c6b3710f85df22e9377d6c4f7553 --pbx moscow
    """
    from bx24app.models import Pbx, db, utcnow
    from bx24app.settings import hook_keys

    with app_context() as app:
        portal_id = get_portal(member_id).id
        query = db.session.query(Pbx).filter_by(portal_id=portal_id, key=key)
        row = query.filter(Pbx.removed_at.is_(None)).one_or_none()
        if row is None:
            raise InputError(f"no PBX {key} in this portal: `bx24app settings export` lists the PBXs")
        current_key, until = row.hook_key, row.old_hook_until
        db.session.rollback()
        if until is not None and until > utcnow() and not end_old:
            raise InputError(
                f"an earlier address of {key} works until {until:%Y-%m-%d %H:%M} UTC and would end at once: "
                "wait, or give --end-old if Mango Office already uses the current one"
            )
        if not hook_keys.rotate(portal_id, key, current_key, None, "cli"):
            raise InputError(f"somebody else has just changed the address of {key}")
        address = f"{app.extensions['bx24app'].config.public_url}/mango/{query.one().hook_key}"
    click.echo(address)
