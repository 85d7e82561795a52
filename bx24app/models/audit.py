"""Writes the audit log: who did what, when and from where. The only place that makes `Audit` rows.

Use cases call `record` inside their own transaction, so that a line exists exactly when its change does. `append_only`
keeps the rows from being changed.
"""

from __future__ import annotations

from typing import Any

from bx24app.models.base import db
from bx24app.models.portals import Audit


def record(
    portal_id: int | None, user_id: int | None, source: str, what: str, *, address: str = "", **facts: Any
) -> None:
    """Add one line to the current transaction; the caller commits.

    Args:
        portal_id: row id of the portal; None: the whole installation.
        user_id: the person's id in Bitrix24; None: nobody in a portal (`source` says cli or system).
        source: frame, place, cli, event, oauth, system or rollback.
        what: constant text; the journal of changes is searched by it.
        address: the person's IP address, where there is one.
        facts: JSON values that say what exactly; never a secret.
    """
    db.session.add(Audit(portal_id=portal_id, user_id=user_id, source=source, address=address, what=what, facts=facts))
