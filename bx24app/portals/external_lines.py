"""Keeps the portal's external lines in line with the settings; a job runs this after settings are saved.

Only our own lines are changed: Bitrix24 keeps lines per application. A call with an unknown LINE_NUMBER would create a
line without a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.bitrix24.batch_filter import is_altered_in_batch
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, Bitrix24Client, RestResult
from bx24app.domain.settings import Settings
from bx24app.infra.logs import get_logger
from bx24app.models import Portal, db
from bx24app.portals import outgoing_line
from bx24app.portals.clients import client_by_id
from bx24app.portals.lifecycle import mark_needs_admin, state_of

_log = get_logger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def update_portal(portal_id: int) -> timedelta | None:
    """Bring the portal's lines in line with the settings, and read which line its outgoing calls use.

    Returns after which time it has to be repeated: at once when the installation is active (again) where an
    administrator has to act, in a minute where the portal does not answer, hourly where it refuses. None: it is done.
    """
    state = state_of(portal_id)
    db.session.rollback()
    if state not in ("active", "pending"):
        return timedelta(0)
    try:
        sync_lines(portal_id)
        outgoing_line.fetch(portal_id)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
        return timedelta(0)
    except errors.Later:
        return MINUTE
    except errors.PortalError as error:
        _log.warning("lines not changed yet", portal=portal_id, error=str(error))
        return HOUR
    return None


def desired_lines(document: Settings) -> dict[str, tuple[str, str]]:
    """LINE_NUMBER -> (name, CRM_AUTO_CREATE).

    The latter decides whether the portal creates a lead when a user clicks on an unknown number.
    """
    create = "Y" if document.calls.outgoing == "lead" else "N"
    return {
        line.bitrix_number: ((line.name or line.bitrix_number)[:255], create)
        for pbx in document.pbxs
        for line in pbx.lines
    }


def sync_lines(portal_id: int, priority: Priority = Priority.BACKGROUND) -> None:
    """Add, rename and delete the portal's lines as the settings say.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked; the next run completes what was left undone.
    """
    portal = db.session.get_one(Portal, portal_id)
    document = settings.current(portal)
    db.session.rollback()
    client = client_by_id(portal_id)
    existing = {str(row["NUMBER"]): row for row in client.call("telephony.externalLine.get", {}, priority).result or []}
    commands: list[tuple[str, str, dict[str, Any]]] = []
    plan = desired_lines(document)
    for number, (name, create) in plan.items():
        row = existing.get(number)
        if row is not None and (row.get("NAME"), row.get("CRM_AUTO_CREATE")) == (name, create):
            continue
        # `update` may blank the normalised number (server source), so a changed line is deleted and added again.
        if row is not None:
            commands.append((f"d{len(commands)}", "telephony.externalLine.delete", {"NUMBER": number}))
        params = {"NUMBER": number, "NAME": name, "CRM_AUTO_CREATE": create}
        commands.append((f"a{len(commands)}", "telephony.externalLine.add", params))
    obsolete = [number for number in existing if number not in plan]
    commands += [
        (f"g{index}", "telephony.externalLine.delete", {"NUMBER": number}) for index, number in enumerate(obsolete)
    ]
    for key, answer in _send_commands(client, commands, priority):
        if isinstance(answer, errors.Refused):
            _log.warning("line not changed", portal=portal_id, command=key, reason=answer.description)
        elif isinstance(answer, errors.PortalError):
            raise answer


def _send_commands(
    client: Bitrix24Client, commands: list[tuple[str, str, dict[str, Any]]], priority: Priority
) -> Iterator[tuple[str, RestResult | errors.PortalError]]:
    """Each command with its answer: in batches, but names that a batch would alter alone, after them."""
    alone = [command for command in commands if is_altered_in_batch(command[2])]
    together = [command for command in commands if command not in alone]
    for start in range(0, len(together), MAX_BATCH_SIZE):
        yield from client.batch(together[start : start + MAX_BATCH_SIZE], priority=priority).items()
    for key, method, params in alone:
        try:
            yield key, client.call(method, params, priority)
        except errors.Refused as error:
            yield key, error
