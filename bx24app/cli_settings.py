"""`bx24app settings`: export and import of a portal's document."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bx24app.cli_base import Wrong, app_context


@click.group()
def settings() -> None:
    """The settings document of a portal."""


@settings.command("export")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
def export(member_id: str) -> None:
    """Write the document as YAML to standard output; secrets as null, each PBX with its webhook_url.

    Example: bx24app settings export --portal a223c6b3710f85df22e9377d6c4f7553 > portal.yaml
    """
    from bx24app import settings as use_case
    from bx24app.portals import by_member

    with app_context() as app:
        portal = by_member(member_id)
        if portal is None:
            raise Wrong(f"no portal with the member_id {member_id}: see `bx24app portals list`")
        click.echo(use_case.export(portal, app.extensions["bx24app"].config.public_url), nl=False)


@settings.command("import")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
@click.option("--allow-delete", is_flag=True, help="Let a section lose a PBX, line, employee or rule.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def import_(member_id: str, allow_delete: bool, file: Path) -> None:
    """Check all of a document, users at the portal too, then apply it; any error: exit 2, nothing changed.

    Example: bx24app settings import --portal a223c6b3710f85df22e9377d6c4f7553 portal.yaml
    """
    from bx24app import portals
    from bx24app import settings as use_case
    from bx24app.bitrix24.errors import PortalError
    from bx24app.domain.document import DocumentError, read
    from bx24app.models import db

    text = (
        sys.stdin.read()
        if str(file) == "-"
        else file.read_text(encoding="utf-8", errors="replace")
    )
    with app_context():
        portal = portals.by_member(member_id)
        if portal is None:
            raise Wrong(f"no portal with the member_id {member_id}: see `bx24app portals list`")
        portal_id = portal.id
        try:
            read(text)
            users = portals.fetch_users(portal_id)
            portal = portals.by_member(member_id)
            assert portal is not None  # noqa: S101 - it was there a moment ago
            changes = use_case.import_(portal, text, allow_delete=allow_delete, known_users=users)
        except DocumentError as error:
            raise Wrong(
                "the document was not imported:\n" + "\n".join(f"  {fault}" for fault in error.faults)
            ) from None
        except PortalError as error:
            raise Wrong(f"the portal cannot be asked for its users, nothing was changed: {error}") from None
        db.session.commit()
        portals.lines_follow(portal_id)
    for change in changes:
        click.echo(str(change))
    click.echo(f"{len(changes)} changes" if changes else "nothing to change")
