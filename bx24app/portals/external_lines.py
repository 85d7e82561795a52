"""USE CASE: the portal's external lines follow the settings: added by name when settings are saved, removed when a line goes.

Only our own lines are ever touched: Bitrix24 keeps lines per application. An unknown LINE_NUMBER would create a line without a name.
"""

from __future__ import annotations

from typing import Any

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.domain.settings import Settings
from bx24app.infra.logs import get_logger
from bx24app.models import Portal, db
from bx24app.portals.clients import client_by_id

_log = get_logger(__name__)


def desired_lines(document: Settings) -> dict[str, tuple[str, str]]:
    """LINE_NUMBER -> (name, CRM_AUTO_CREATE). The latter rules what the portal makes of a click-to-call to an unknown number."""
    create = "Y" if document.calls.outgoing == "lead" else "N"
    return {
        line.bitrix_number: ((line.name or line.bitrix_number)[:255], create)
        for pbx in document.pbxs
        for line in pbx.lines
    }


def sync_lines(portal_id: int, priority: Priority = Priority.BACKGROUND) -> None:
    """Bring the portal's lines into line with the settings.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked; nothing is half done that the next run would not mend.
    """
    portal = db.session.get_one(Portal, portal_id)
    document = settings.current(portal)
    db.session.rollback()
    client = client_by_id(portal_id)
    present = {str(row["NUMBER"]): row for row in client.call("telephony.externalLine.get", {}, priority).result or []}
    commands: list[tuple[str, str, dict[str, Any]]] = []
    plan = desired_lines(document)
    for number, (name, create) in plan.items():
        row = present.get(number)
        if row is not None and (row.get("NAME"), row.get("CRM_AUTO_CREATE")) == (name, create):
            continue
        # `update` may blank the normalised number (server source), so a changed line is made anew.
        if row is not None:
            commands.append((f"d{len(commands)}", "telephony.externalLine.delete", {"NUMBER": number}))
        params = {"NUMBER": number, "NAME": name, "CRM_AUTO_CREATE": create}
        commands.append((f"a{len(commands)}", "telephony.externalLine.add", params))
    gone = [number for number in present if number not in plan]
    commands += [
        (f"g{index}", "telephony.externalLine.delete", {"NUMBER": number}) for index, number in enumerate(gone)
    ]
    for start in range(0, len(commands), 50):
        said = client.batch(commands[start : start + 50], priority=priority)
        for key, met in said.items():
            if isinstance(met, errors.Refused):
                _log.warning("line not changed", portal=portal_id, command=key, reason=met.description)
