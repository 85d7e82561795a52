"""Extensions that rang or talked in a call and are mapped to no employee.

The alert monitor and the page of employees ask.

A call keeps them in the column `call.unmapped`; the fold writes it.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import select

from bx24app.models import Call, db
from bx24app.models.calls import split_extensions

MAX_COUNTED_CALLS = 20_000
"""How many calls `count_calls` reads at most."""


def load_extensions(portal_id: int, since: datetime) -> dict[str, set[str]]:
    """PBX key -> unmapped extensions of the calls that began after `since`."""
    query = select(Call.pbx_key, Call.unmapped).where(
        Call.portal_id == portal_id, Call.unmapped.is_not(None), Call.started_at > since
    )
    extensions: dict[str, set[str]] = {}
    for key, names in db.session.execute(query.distinct()):
        extensions.setdefault(key, set()).update(split_extensions(names))
    return extensions


def count_calls(portal_id: int, pbx_key: str, since: datetime) -> Counter[str]:
    """Unmapped extension of this PBX -> calls that began at `since` or later. One query on an index of its own."""
    query = select(Call.unmapped).where(
        Call.portal_id == portal_id, Call.unmapped.is_not(None), Call.started_at >= since, Call.pbx_key == pbx_key
    )
    return Counter(
        name for names in db.session.scalars(query.limit(MAX_COUNTED_CALLS)) for name in split_extensions(names)
    )
