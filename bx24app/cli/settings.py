"""`bx24app settings`: export and import of a portal's document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bx24app.cli.base import InputError, app_context, get_portal

if TYPE_CHECKING:
    from bx24app.domain.crm_dictionaries import CrmDictionaries
    from bx24app.domain.document import LeafChange


@click.group()
def settings() -> None:
    """The settings document of a portal."""


@settings.command("export")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
def export_settings(member_id: str) -> None:
    """Write the document as YAML to standard output; secrets as null, each PBX with its webhook_url.

    Example: bx24app settings export --portal a223c6b3710f85df22e9377d6c4f7553 > portal.yaml
    """
    from bx24app import settings as use_case
    from bx24app.models import audit, db

    with app_context() as app:
        portal = get_portal(member_id)
        audit.record(portal.id, None, "cli", "settings exported")
        text = use_case.export_yaml(portal, app.extensions["bx24app"].config.public_url)
        db.session.commit()
    click.echo(text, nl=False)


@settings.command("import")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
@click.option("--allow-delete", is_flag=True, help="Let a section lose a PBX, line, employee or rule.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def import_settings(member_id: str, allow_delete: bool, file: Path) -> None:
    """Check all of a document, users at the portal too, then apply it; any error: exit 2, nothing changed.

    FILE is - for standard input.

    Example: bx24app settings import --portal a223c6b3710f85df22e9377d6c4f7553 portal.yaml
    """
    text = _read_text(file)
    with app_context():
        changes = _import_text(member_id, text, allow_delete)
    for change in changes:
        click.echo(str(change))
    count = len(changes)
    click.echo(f"{count} change{'' if count == 1 else 's'}" if changes else "nothing to change")


def _read_text(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: byte {error.start} is no letter") from None


def _import_text(member_id: str, text: str, allow_delete: bool) -> list[LeafChange]:
    from bx24app import settings as use_case
    from bx24app.bitrix24.errors import PortalError
    from bx24app.domain.document import DocumentError
    from bx24app.models import db
    from bx24app.portals import crm_dictionaries, sync

    portal_id = get_portal(member_id).id
    db.session.rollback()
    users: set[int] | None = None
    offered: CrmDictionaries | None = None
    trouble: list[str] = []
    try:
        users = sync.fetch_users(portal_id)
        offered = crm_dictionaries.fetch(portal_id) if _has_dictionary_names(text) else None
    except PortalError as error:
        db.session.rollback()
        trouble = [f"the portal cannot be asked for its users and pipelines: {error or type(error).__name__}"]
    try:
        changes = use_case.import_yaml(
            get_portal(member_id), text, allow_delete=allow_delete, known_users=users, offered=offered
        )
    except DocumentError as error:
        db.session.rollback()
        trouble += [str(fault) for fault in error.faults]
    if trouble:
        db.session.rollback()
        raise InputError("nothing was imported:\n" + "\n".join(f"  {line}" for line in trouble))
    db.session.commit()
    _update_external_lines(portal_id)
    return changes


def _has_dictionary_names(text: str) -> bool:
    """Does the document name pipelines, stages or sources? A text that is no document names none, and is told as such later."""
    from bx24app.domain import document
    from bx24app.domain.crm_dictionaries import needs_dictionaries

    try:
        return needs_dictionaries(document.load_yaml(text).get("rules"))
    except document.DocumentError:
        return False


def _update_external_lines(portal_id: int) -> None:
    """The portal's external lines: by a worker, or at once where there is no queue to tell one by."""
    import redis

    from bx24app.bitrix24.budget import Priority
    from bx24app.bitrix24.errors import PortalError
    from bx24app.infra.runtime import runtime
    from bx24app.portals import external_lines, lifecycle

    try:
        runtime().redis.ping()
        lifecycle.queue_line_sync(portal_id)
    except redis.RedisError:
        try:  # without Redis a process has a small budget of its own, too small for background work
            external_lines.sync_lines(portal_id, Priority.CARD)
        except PortalError as error:
            click.echo(f"the portal's external lines could not be changed yet: {error}", err=True)
