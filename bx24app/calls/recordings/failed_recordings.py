"""A recording on which the program failed is set aside with its reason: lost for now, tried again like other rows."""

from __future__ import annotations

from bx24app.calls.set_aside import set_aside
from bx24app.models import Call, Recording, db
from bx24app.models.locking import portal_lock


def set_recording_aside(recording_id: int, error: Exception) -> None:
    """Mark it, in a transaction of its own. A file that may be in the portal already is looked for before a repeat."""
    row = db.session.get(Recording, recording_id)
    portal_id = row.portal_id if row is not None else None
    db.session.rollback()
    if portal_id is None:
        return
    with portal_lock(portal_id) as (session, _):
        row = session.get(Recording, recording_id)
        if row is None:
            return
        call = session.get(Call, row.call_id)
        entry_id = call.entry_id if call is not None else None
        reason = set_aside(session, portal_id, "recording", recording_id, error, entry_id, row.call_id)
        row.state, row.problem, row.problem_code = "lost", reason, None
        row.due_at, row.claimed_at = None, None
