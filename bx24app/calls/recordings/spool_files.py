"""Which file of the spool belongs to which recording: the one whose name says the same portal, PBX, entry and recording
as the tables."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select

from bx24app.infra import spool
from bx24app.models import Call, Portal, Recording, db


def files_of(recording_ids: Collection[int], *, waiting_only: bool = False) -> dict[int, Path]:
    """The files of these recordings (row ids), whether they exist or not. A recording that does not exist is left out.

    `waiting_only`: only of recordings that still wait to be attached. The caller ends the transaction.
    """
    query = (
        select(Recording.id, Portal.member_id, Call.pbx_key, Call.entry_id, Recording.recording_id)
        .join(Call, Call.id == Recording.call_id)
        .join(Portal, Portal.id == Recording.portal_id)
        .where(Recording.id.in_(recording_ids))
    )
    if waiting_only:
        query = query.where(Recording.state == "waiting")
    return {row_id: spool.path_of(row_id, *identity) for row_id, *identity in db.session.execute(query)}


def is_wanted(file: Path) -> bool:
    """Is this the file, or an unfinished one, of a recording that still waits?"""
    row_id = spool.row_id_of(file)
    if row_id is None:
        return False
    wanted = files_of([row_id], waiting_only=True).get(row_id)
    return wanted is not None and file.name.split(".", 1)[0] == wanted.stem
