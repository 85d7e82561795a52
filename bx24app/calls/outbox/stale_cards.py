"""Takes back cards of calls that are over before their card has opened: nobody needs it, and it would flash on screens.

After an outage or a lock hundreds of calls may leave in this state. `batches` calls this before each claim.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from bx24app.models import Delivery


def withdraw_cards(session: Session, open_rows: Sequence[Delivery]) -> list[Delivery]:
    """The open rows without cards that come too late; a Register that is still to leave opens none. The caller commits.

    What has left once keeps its place: its card may be on a screen.
    """
    over = {row.call_id for row in open_rows if row.kind == "Finish"}
    stale = [row for row in open_rows if row.call_id in over and _is_unsent(row)]
    for row in stale:
        if row.kind == "ShowCard":
            session.delete(row)
        elif row.kind == "Register" and row.command.get("show"):
            row.command = {**row.command, "show": False}
    withdrawn = {row.id for row in stale if row.kind == "ShowCard"}
    return [row for row in open_rows if row.id not in withdrawn]


def _is_unsent(row: Delivery) -> bool:
    return row.state == "waiting" and not row.attempts and not row.uncertain
