"""Which line the portal's outgoing calls use, as far as REST tells.

It is read daily and by a button, and stored beside the dictionaries.

Only the portal's default number can be read (`voximplant.line.outgoing.get`, by users who may manage numbers): an
application appears there as `REST_APP:<id>`, a line by its number. No method tells what a user has chosen for
themselves.
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
"""How many colliding inner numbers are listed."""


@dataclass(frozen=True, slots=True)
class OutgoingLine:
    """What the portal's outgoing calls use, compared with the settings."""

    state: OutgoingState
    """Our app, our line, nothing chosen, another line or application, refused by the portal, never asked."""
    chosen_line: str = ""
    reason: str = ""
    """Why the portal refused to tell."""
    missing_numbers: tuple[str, ...] = ()
    """Numbers of our settings that the portal does not have as lines (yet)."""
    read_at: datetime | None = None


def ask_portal(client: Bitrix24Client, priority: Priority = Priority.BACKGROUND) -> dict[str, Any]:
    """The portal's answer in the stored form; one request.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked at all.
    """
    answers = client.batch(
        [
            ("chosen", "voximplant.line.outgoing.get", {}),
            ("lines", "telephony.externalLine.get", {}),
            ("app", "app.info", {}),
        ],
        priority=priority,
    )
    chosen, lines, app = answers.get("chosen"), answers.get("lines"), answers.get("app")
    content: dict[str, Any] = {"read_at": utcnow().isoformat()}
    if isinstance(chosen, RestResult):
        content["chosen"] = str(chosen.result or "")
    elif isinstance(chosen, errors.PortalError):
        content["why"] = str(chosen)
    if isinstance(lines, RestResult):
        content["lines"] = [
            str(row["NUMBER"]) for row in lines.result or [] if isinstance(row, dict) and "NUMBER" in row
        ]
    if isinstance(app, RestResult) and isinstance(app.result, dict):
        content["app"] = str(app.result.get("ID") or "")
    return {"outgoing": content}


def fetch(portal_id: int) -> None:
    """Ask the portal now and store its answer. Commits.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    crm_dictionaries.store_answers(portal_id, ask_portal(client_by_id(portal_id), Priority.CARD))
    db.session.commit()


def state_for(portal_id: int, document: Settings) -> OutgoingLine:
    """The answer as last read, compared with the settings."""
    row = db.session.get(Dictionary, portal_id)
    stored: dict[str, Any] = row.content.get("outgoing", {}) if row is not None else {}
    if not stored:
        return OutgoingLine("unread")
    read_at = datetime.fromisoformat(stored["read_at"])
    ours = [line.bitrix_number for pbx in document.pbxs for line in pbx.lines]
    missing = tuple(number for number in ours if number not in stored["lines"]) if "lines" in stored else ()
    if "chosen" not in stored:
        return OutgoingLine("refused", reason=stored.get("why", ""), missing_numbers=missing, read_at=read_at)
    chosen: str = stored["chosen"]
    return OutgoingLine(
        _classify_choice(chosen, stored.get("app", ""), ours), chosen, missing_numbers=missing, read_at=read_at
    )


def _classify_choice(chosen: str, app: str, ours: list[str]) -> OutgoingState:
    if not chosen:
        return "none"
    if app and chosen.upper() == f"REST_APP:{app}".upper():
        return "app"
    return "line" if chosen in ours else "other"


@dataclass(frozen=True, slots=True)
class NumberCollision:
    """An employee's inner number that Bitrix24 may take for a client's.

    `calls`: calls of clients with the same number.
    """

    user_id: int
    number: str
    calls: int


def find_collisions(portal_id: int) -> list[NumberCollision]:
    """Inner numbers that a client has called from, or that look like a telephone number (five digits and more).

    Bitrix24 takes a call with such a number for an internal one and leaves it out of the CRM (server source of its
    telephony). One query, which looks up each inner number in the index of client numbers.
    """
    user, number = PortalUser, PortalUser.inner_number
    calls = (
        select(func.count())
        .select_from(Call)
        .where(Call.portal_id == portal_id, Call.client_number.in_((number, "+" + number)))
        .correlate(user)
        .scalar_subquery()
    )
    inner = (
        select(user.user_id, number, calls.label("calls"))
        .where(user.portal_id == portal_id, user.active, number != "")
        .subquery()
    )
    colliding = select(inner).where(or_(inner.c.calls > 0, func.length(inner.c.inner_number) >= 5))
    rows = db.session.execute(colliding.order_by(inner.c.calls.desc(), inner.c.inner_number).limit(MAX_COLLISIONS))
    return [NumberCollision(*row) for row in rows]
