"""The ids under which Mango's statistics name employees and groups: stored when they are read, looked up when a call is
restored.

An id never changes; an extension does. A restored call is looked up by the extension that the mapping knows, so that an
employee whom Mango renumbered is found until the mapping follows, and afterwards too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.logs import get_logger
from bx24app.models import PbxMember, db, utcnow
from bx24app.models.inserts import insert_or_ignore

_log = get_logger(__name__)

MemberKind = Literal["user", "group"]
Listed = Iterable[tuple[str | None, str | None]]
"""(Mango's id, extension) of each; those without one of them are left out."""


def store_members(pbx_id: int, kind: MemberKind, listed: Listed) -> None:
    """Store whose extension is whose, as the PBX lists it now. No transaction may be open.

    Nothing depends on it at this moment, so a database that does not take it is only logged.
    """
    owners = {extension: mango_id for mango_id, extension in listed if mango_id and extension}
    if not owners:
        return
    try:
        _write_owners(pbx_id, kind, owners)
    except SQLAlchemyError as error:
        db.session.rollback()
        _log.warning("ids of the PBX not stored", pbx=pbx_id, kind=kind, error=type(error).__name__)


def _write_owners(pbx_id: int, kind: MemberKind, owners: dict[str, str]) -> None:
    rows = _load_rows(pbx_id, kind)
    stored = {row.extension: row.mango_id for row in rows}
    latest = {row.mango_id: row.extension for row in rows}  # rows are in the order of their time
    fresh = sorted(name for name in owners if name not in stored)
    moved = [
        name
        for name in sorted(owners.keys() & stored.keys())
        if stored[name] != owners[name] or (latest[owners[name]] != name and latest[owners[name]] not in owners)
    ]
    now, mine = utcnow(), (PbxMember.pbx_id == pbx_id, PbxMember.kind == kind)
    for name in fresh:
        values = {"pbx_id": pbx_id, "kind": kind, "extension": name, "mango_id": owners[name], "seen_at": now}
        insert_or_ignore(db.session, PbxMember, **values)
    for name in moved:
        changed = update(PbxMember).where(*mine, PbxMember.extension == name)
        db.session.execute(changed.values(mango_id=owners[name], seen_at=now))
    db.session.commit()


def _load_rows(pbx_id: int, kind: MemberKind) -> list[PbxMember]:
    query = select(PbxMember).where(PbxMember.pbx_id == pbx_id, PbxMember.kind == kind)
    return list(db.session.scalars(query.order_by(PbxMember.seen_at, PbxMember.extension)))


def load_extensions(pbx_id: int, kind: MemberKind, mapped: Collection[str] = ()) -> dict[str, str]:
    """Mango's id -> extension: of several the latest that is `mapped`, else the latest. Ends the transaction."""
    extensions: dict[str, str] = {}
    for row in _load_rows(pbx_id, kind):
        if row.extension in mapped or extensions.get(row.mango_id) not in mapped:
            extensions[row.mango_id] = row.extension
    db.session.rollback()
    return extensions
