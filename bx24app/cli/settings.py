"""`bx24app settings`: export and import of a portal's document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bx24app.cli.base import PORTAL_OPTION, InputError, app_context, format_count, get_portal, load_id_and_state

if TYPE_CHECKING:
    from bx24app.domain.document.comparison import Difference
    from bx24app.settings.save import SaveOutcome


@click.group()
def settings() -> None:
    """The settings document of a portal."""


@settings.command("export")
@PORTAL_OPTION
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
@PORTAL_OPTION
@click.option("--allow-delete", is_flag=True, help="Let a section lose a PBX, line, employee or rule.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def import_settings(member_id: str, allow_delete: bool, file: Path) -> None:
    """Check all of a document, users at the portal too, then apply it; any error: exit 2, nothing changed.

    FILE is - for standard input.

    Example: bx24app settings import --portal a223c6b3710f85df22e9377d6c4f7553 portal.yaml
    """
    text = _read_text(file)
    with app_context():
        outcome = _import_text(member_id, text, allow_delete)
    lines = list(describe_changes(outcome))
    for line in lines:
        click.echo(line)
    click.echo(format_count(len(lines), "change") if lines else "nothing to change")


def _read_text(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: byte {error.start} is no letter") from None


def _import_text(member_id: str, text: str, allow_delete: bool) -> SaveOutcome:
    from bx24app.domain.document import DocumentError, load_yaml
    from bx24app.portals.user_directory import FreshDirectory
    from bx24app.settings.save import save_document

    portal_id, _ = load_id_and_state(member_id)
    directory = FreshDirectory(portal_id)
    try:
        data = load_yaml(text)
        outcome = save_document(
            portal_id, data, directory, author=None, source="cli", is_import=True, allow_delete=allow_delete
        )
    except DocumentError as error:
        faults = "\n".join(f"  {fault}" for fault in error.faults)
        raise InputError(f"nothing was imported:\n{faults}") from None
    _update_external_lines(portal_id)
    return outcome


def _update_external_lines(portal_id: int) -> None:
    """Update the portal's external lines: by a worker, or at once where there is no queue."""
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


# --- what an import changed ------------------------------------------------------------------------------------------


def describe_changes(outcome: SaveOutcome) -> Iterator[str]:
    """A line for each change: `+` was added, `-` was removed, `~` was changed or moved."""
    from bx24app.domain.document.comparison import compare_settings

    for difference in compare_settings(outcome.old, outcome.new):
        path = _difference_path(difference)
        if difference.change == "moved":
            yield f"~ {path}: moved"
        elif difference.change == "changed":
            yield from (_value_line(f"{path}.{field.name}", field.old, field.new) for field in difference.fields)
        else:
            yield _value_line(path, _without_empty(difference.old), _without_empty(difference.new))
    yield from (f"+ pbxs.{key}.api_key: (new)" for key in outcome.new_keys)


def _difference_path(difference: Difference) -> str:
    name = difference.name
    return {
        "pbx": f"pbxs.{name}",
        "line": f"pbxs.{difference.pbx}.lines.{name}",
        "employee": f"pbxs.{difference.pbx}.employees.{name}",
        "rule": f"rules.{name}",
    }.get(difference.kind, difference.kind)


def _without_empty(data: dict[str, Any] | None) -> dict[str, Any]:
    values = {name.removeprefix("_"): value for name, value in (data or {}).items()}
    return {name: value for name, value in values.items() if value not in (None, [], "", False, 0)}


def _value_line(path: str, old: Any, new: Any) -> str:
    if old in (None, [], {}, ""):
        return f"+ {path}: {_short_yaml(new)}"
    if new in (None, [], {}, ""):
        return f"- {path}: {_short_yaml(old)}"
    return f"~ {path}: {_short_yaml(old)} -> {_short_yaml(new)}"


def _short_yaml(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.replace("\n...", "").strip()
    return text if len(text) <= 120 else text[:117] + "..."
