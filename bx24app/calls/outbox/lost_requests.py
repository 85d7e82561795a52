"""Requests to the portal whose worker has died: they wait again, and the portal is asked before they are repeated.

The worker's death is known for certain or by its silence (`calls.leases`), or the sweep gives a request up by its age.
What the portal was still doing when the worker died must not be mistaken for "not done": so the question comes some
seconds later, and an answer from a portal that is slow is not believed before the longest request would be over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.models import Delivery, utcnow

REASON = "the worker ended before the answer came"
VERIFIED_KINDS = ("Finish", "CreateRecord", "AddTodo", "AddComment")
"""Commands about which the portal is asked before they are repeated (`verification`)."""
SETTLE_SECONDS, SETTLE_SECONDS_PER_COMMAND = 5.0, 0.2
"""What a portal that answers promptly needs at most to end what it had begun."""
MAX_SETTLED_COMMANDS = 50
PROMPT_SECONDS = 2.0
"""A portal that needs longer for the question itself may still be busy with the request."""
LONGEST_REQUEST = timedelta(seconds=75)
"""After this no portal carries out what it was sent: the cloud ends a request after 60 s."""


def free_requests_of(session: Session, owner: str) -> dict[int, timedelta]:
    """Let the requests of a dead worker wait again. Returns the portals (row ids) to wake, and after how long what must
    be looked up is due. The caller commits.
    """
    now = utcnow()
    mine = (Delivery.state == "sent", Delivery.owner == owner, Delivery.kind.not_in(MANGO_KINDS))
    values = {"state": "waiting", "uncertain": True, "sent_at": None, "due_at": None, "lost_at": now, "reason": REASON}
    freed = update(Delivery).where(*mine).values(**values)
    rows = session.execute(freed.returning(Delivery.portal_id, Delivery.call_id, Delivery.kind)).all()
    pauses: dict[int, timedelta] = {}
    for portal_id in {row.portal_id for row in rows}:
        count = sum(row.portal_id == portal_id for row in rows)
        seconds = SETTLE_SECONDS + SETTLE_SECONDS_PER_COMMAND * min(count, MAX_SETTLED_COMMANDS)
        pauses[portal_id] = timedelta(seconds=seconds)
        looked_up = {row.call_id for row in rows if row.portal_id == portal_id and row.kind in VERIFIED_KINDS}
        waiting = (Delivery.call_id.in_(looked_up), Delivery.state == "waiting", Delivery.lost_at == now)
        session.execute(update(Delivery).where(*waiting).values(due_at=now + pauses[portal_id]))
    return pauses


def recover_lost_requests(session: Session, older_than: timedelta) -> set[int]:
    """Let requests wait again that were sent earlier than this and have no answer, whoever has them.

    Returns the portals (row ids) to wake; the caller commits. Dials to Mango are left out: they must never be repeated
    (`click_to_call.recover_lost_dials`).
    """
    rows = session.scalars(
        select(Delivery).where(
            Delivery.state == "sent", Delivery.sent_at < utcnow() - older_than, Delivery.kind.not_in(MANGO_KINDS)
        )
    ).all()
    for row in rows:
        row.state, row.uncertain, row.sent_at, row.due_at, row.reason = "waiting", True, None, None, REASON
    return {row.portal_id for row in rows}


def time_to_ask_again(row: Delivery, seconds: float) -> datetime | None:
    """The portal says that the command was not carried out, in an answer that took so long: when to ask once more;
    None: the answer can be believed.
    """
    if row.lost_at is None or seconds <= PROMPT_SECONDS:
        return None
    end = row.lost_at + LONGEST_REQUEST
    return end if utcnow() < end else None
