"""USE CASE: click-to-call and form callback: what the portal asks for becomes one command to Mango, sent at most once.

The portal has registered a clicked call itself and opened its card; we dial and finish it. A form callback has no call yet: it is
registered when the first employee rings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from bx24app.domain.ledger import Ledger
from bx24app.domain.routing import Policy
from bx24app.logs import log
from bx24app.models import Call, Notification, Portal

if TYPE_CHECKING:
    from bx24app.decide import Wakes

_log = log(__name__)


def begin(session: Session, portal: Portal, rows: list[Notification]) -> list[Call]:
    """Events of the portal that ask for a call. Not carried out yet: stored, so that nothing is lost."""
    for row in rows:
        _log.info("portal asks for a call", portal=portal.id, event_name=row.name)
    return []


def follow(
    session: Session, portal: Portal, call: Call, told: list[Notification], ledger: Ledger, policy: Policy, wakes: Wakes
) -> None:
    """A call of which the PBX has told nothing yet."""
