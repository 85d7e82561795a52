"""Entries of Mango's statistics on which the program failed: each is kept as a rejected notification and set aside.

`missing_calls` calls it for the one entry of a part that raises, so that the others are stored. The notification is
tried again like any other that was set aside.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.calls.fold.grouping import STATISTICS
from bx24app.calls.set_aside import SavepointFailed, own_savepoint, set_aside
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import describe_error
from bx24app.mango import statistics
from bx24app.models import Notification, Pbx, utcnow
from bx24app.models.inserts import insert_or_ignore

_log = get_logger(__name__)


def set_entry_aside(session: Session, pbx: Pbx, name: str, entry_id: str, body: str, error: Exception) -> None:
    """Keep the entry with its reason. If even that fails, the log names it. The caller commits."""
    values = {"portal_id": pbx.portal_id, "pbx_id": pbx.id, "dialect": STATISTICS}
    key = statistics.identify(name, body).dedup_key
    reason = describe_error(error)
    try:
        with own_savepoint(session):
            insert_or_ignore(
                session, Notification, **values, name=name, entry_id=entry_id, dedup_key=key, body=body,
                state="rejected", reason=reason, received_at=utcnow(),
            )  # fmt: skip
            row = session.scalars(select(Notification).filter_by(**values, dedup_key=key)).one()
            if row.state == "rejected":
                set_aside(session, pbx.portal_id, "notification", row.id, error, entry_id)
    except SavepointFailed as failure:
        cause = describe_error(failure.cause)
        _log.error("entry of the statistics not stored", pbx=pbx.id, entry=entry_id, reason=reason, cause=cause)
