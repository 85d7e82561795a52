"""One PBX of Mango Office is connected to a portal once: which PBX of a portal has an API key.

The keys are encrypted with random nonces, so they are decrypted and compared; a portal has at most a hundred PBXs.
`settings.save` refuses a second PBX with the same key under the portal's lock; the form asks beforehand.
"""

from __future__ import annotations

from sqlalchemy import select

from bx24app.domain.document import DocumentDraft
from bx24app.domain.faults import Fault
from bx24app.infra.encryption import is_undecryptable
from bx24app.models import Pbx, db


def load_pairs(portal_id: int) -> dict[str, tuple[str, str]]:
    """PBX key -> (API key, salt) of the connected PBXs; without secrets that cannot be decrypted."""
    query = select(Pbx.key, Pbx.api_key, Pbx.api_salt).where(Pbx.portal_id == portal_id, Pbx.removed_at.is_(None))
    rows = db.session.execute(query.order_by(Pbx.position, Pbx.id))
    readable = [row for row in rows if not is_undecryptable(row.api_key) and not is_undecryptable(row.api_salt)]
    return {row.key: (row.api_key, row.api_salt) for row in readable if row.api_key and row.api_salt}


def find_repeats(portal_id: int, draft: DocumentDraft) -> list[Fault]:
    """PBXs of a document that would have the API key of another one.

    A PBX counts if it is new or its API key is; two that have the same key already can still be saved. To be called
    while the portal is locked, so that what is stored stays.
    """
    if "pbxs" not in draft.sections:
        return []
    stored = _load_keys(portal_id)
    users: dict[str, list[int]] = {}
    changed: set[int] = set()
    for position, (pbx, (api_key, _)) in enumerate(zip(draft.settings.pbxs, draft.pairs, strict=False)):
        effective = api_key or stored.get(pbx.key)
        if effective is None:
            continue
        users.setdefault(effective, []).append(position)
        if pbx.key not in draft.base.by_key or effective != stored.get(pbx.key):
            changed.add(position)
    faults = []
    for positions in users.values():
        first = next((position for position in positions if position not in changed), positions[0])
        name = draft.settings.pbxs[first].name or draft.settings.pbxs[first].key
        repeats = [position for position in positions if position in changed and position != first]
        faults += [Fault("repeated_api_key", {"pbx": name}, f"pbxs[{position}].api_key") for position in repeats]
    return faults


def _load_keys(portal_id: int) -> dict[str, str]:
    """PBX key -> API key, of removed PBXs too: an earlier version of the settings may bring them back."""
    query = select(Pbx.key, Pbx.api_key).where(Pbx.portal_id == portal_id, Pbx.api_key.is_not(None))
    return {row.key: row.api_key for row in db.session.execute(query) if not is_undecryptable(row.api_key)}
