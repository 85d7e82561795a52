"""`bx24app apps`, `bx24app portals`: registrations and installations."""

from __future__ import annotations

import json
import sys

import click

from bx24app.cli.base import InputError, app_context
from bx24app.domain.host_names import readable_host


@click.group()
def apps() -> None:
    """Registrations: the client id and secret of each portal's local application."""


@apps.command("add")
@click.argument("client_id")
@click.argument("client_secret", required=False)
@click.option("--name", default="", help="A name for your own lists.")
def add_app(client_id: str, client_secret: str | None, name: str) -> None:
    """Add a registration, or change the secret of one.

    The secret is asked for, or read from standard input. As an argument (CLIENT_SECRET) it still works, but everybody
    on this machine can read it in the list of processes, and the shell keeps it.

    Example: bx24app apps add local.0123456789abcd.12345678 --name "Our portal" < secret.txt
    """
    from bx24app.models import Registration, audit, db

    if client_secret is not None:
        click.echo("warning: a secret among the arguments is readable in the list of processes; leave it out", err=True)
    client_id, client_secret = client_id.strip(), (_read_secret() if client_secret is None else client_secret).strip()
    if not client_id or not client_secret:
        raise InputError("client id and secret must not be empty: both are on the application's card in Bitrix24")
    with app_context():
        row = db.session.get(Registration, client_id)
        change = "changed" if row is not None else "added"
        if row is None:
            row = Registration(client_id=client_id)
            db.session.add(row)
        row.client_secret, row.name = client_secret, name or row.name or ""
        audit.record(None, None, "cli", f"registration {change}", client_id=client_id)
        db.session.commit()
    click.echo(f"{client_id} {change}")


def _read_secret() -> str:
    """From a pipe, or typed without an echo."""
    if sys.stdin.isatty():
        return str(click.prompt("Client secret", hide_input=True, default="", show_default=False, err=True))
    return sys.stdin.readline()


@apps.command("list")
def list_apps() -> None:
    """List the registrations, without their secrets.

    Example: bx24app apps list
    """
    from bx24app.models import Registration, db

    with app_context() as app:
        config = app.extensions["bx24app"].config
        if config.client_id:
            click.echo(f"{config.client_id}\tfrom BX24APP_CLIENT_ID")
        columns = (Registration.client_id, Registration.name)
        for client_id, name in db.session.query(*columns).order_by(Registration.created_at):
            click.echo(f"{client_id}\t{name}")


@click.group()
def portals() -> None:
    """Installed portals."""


@portals.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list of objects.")
def list_portals(as_json: bool) -> None:
    """List every portal with its state: pending, active, paused, needs_admin, removed.

    Example: bx24app portals list --json
    """
    from bx24app.models import Portal, db

    with app_context():
        columns = (Portal.member_id, Portal.domain, Portal.state)
        rows = [
            {"member_id": member_id, "domain": domain, "state": state}
            for member_id, domain, state in db.session.query(*columns).order_by(Portal.id)
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for row in rows:
            click.echo("\t".join((row["member_id"], readable_host(row["domain"]), row["state"])))
