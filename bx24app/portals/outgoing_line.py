"""USE CASE: where the portal's outgoing calls leave through, as far as REST tells it; read daily and by a button, kept beside the dictionaries.

The portal's default number is the only thing that can be read (`voximplant.line.outgoing.get`, for who may manage numbers): an
application stands there as `REST_APP:<id>`, a line by its number. What a user chose for themselves no method tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import func, or_, select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.domain.settings import Settings
from bx24app.models import Call, Dictionary, PortalUser, db, utcnow
from bx24app.portals import crm_dictionaries
from bx24app.portals.clients import client_by_id

OutgoingState = Literal["app", "line", "none", "other", "refused", "unread"]
MAX_COLLISIONS = 50
"""Colliding inner numbers that are listed."""


@dataclass(frozen=True, slots=True)
class OutgoingLine:
    """`state`: calls leave through our app, our line `chosen`, nothing chosen, something else `chosen`, not told, never asked.

    `missing`: numbers of our settings that the portal does not have as lines (yet).
    """

    state: OutgoingState
    chosen_line: str = ""
    reason: str = ""
    missing_numbers: tuple[str, ...] = ()
    read_at: datetime | None = None


def ask_portal(client: Bitrix24Client, priority: Priority = Priority.BACKGROUND) -> dict[str, Any]:
    """What the portal tells, in the shape that is kept; one request.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked at all.
    """
    said = client.batch(
        [
            ("chosen", "voximplant.line.outgoing.get", {}),
            ("lines", "telephony.externalLine.get", {}),
            ("app", "app.info", {}),
        ],
        priority=priority,
    )
    chosen, lines, app = said.get("chosen"), said.get("lines"), said.get("app")
    found: dict[str, Any] = {"read_at": utcnow().isoformat()}
    if isinstance(chosen, RestResult):
        found["chosen"] = str(chosen.result or "")
    elif isinstance(chosen, errors.PortalError):
        found["why"] = str(chosen)
    if isinstance(lines, RestResult):
        found["lines"] = [str(row["NUMBER"]) for row in lines.result or [] if isinstance(row, dict) and "NUMBER" in row]
    if isinstance(app, RestResult) and isinstance(app.result, dict):
        found["app"] = str(app.result.get("ID") or "")
    return {"outgoing": found}


def fetch(portal_id: int) -> None:
    """Ask the portal now, keep what it says. Commits.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    found = ask_portal(client_by_id(portal_id), Priority.CARD)
    crm_dictionaries.store_answers(portal_id, found)
    db.session.commit()


def state_for(portal_id: int, document: Settings) -> OutgoingLine:
    """As told last, held against the settings."""
    row = db.session.get(Dictionary, portal_id)
    held: dict[str, Any] = row.content.get("outgoing", {}) if row is not None else {}
    if not held:
        return OutgoingLine("unread")
    read_at = datetime.fromisoformat(held["read_at"])
    ours = [line.bitrix_number for pbx in document.pbxs for line in pbx.lines]
    missing = tuple(one for one in ours if one not in held["lines"]) if "lines" in held else ()
    if "chosen" not in held:
        return OutgoingLine("refused", reason=held.get("why", ""), missing_numbers=missing, read_at=read_at)
    chosen: str = held["chosen"]
    return OutgoingLine(_classify_choice(chosen, held.get("app", ""), ours), chosen, missing_numbers=missing, read_at=read_at)


def _classify_choice(chosen: str, app: str, ours: list[str]) -> OutgoingState:
    if not chosen:
        return "none"
    if app and chosen.upper() == f"REST_APP:{app}".upper():
        return "app"
    return "line" if chosen in ours else "other"


@dataclass(frozen=True, slots=True)
class NumberCollision:
    """An employee's inner number that Bitrix24 may take for a client's. `calls`: of clients with this very number."""

    user_id: int
    number: str
    calls: int


def find_collisions(portal_id: int) -> list[NumberCollision]:
    """Inner numbers that a client has called from, or that look like a telephone in the world (five digits and more).

    Bitrix24 takes a call with such a number for one between colleagues: its CRM is left out (server source of its telephony).
    One query: each inner number is looked up in the index of client numbers.
    """
    user, number = PortalUser, PortalUser.inner_number
    calls = (
        select(func.count())
        .select_from(Call)
        .where(Call.portal_id == portal_id, Call.client_number.in_((number, "+" + number)))
        .correlate(user)
        .scalar_subquery()
    )
    inner = select(user.user_id, number, calls.label("calls")).where(user.portal_id == portal_id, user.active, number != "").subquery()
    odd = select(inner).where(or_(inner.c.calls > 0, func.length(inner.c.inner_number) >= 5))
    rows = db.session.execute(odd.order_by(inner.c.calls.desc(), inner.c.inner_number).limit(MAX_COLLISIONS))
    return [NumberCollision(*row) for row in rows]
