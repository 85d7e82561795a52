"""Single calls of the journal with what belongs to them: recordings and deliveries. For pages.

`viewer` is the user whose calls alone may be read; None: all calls of the portal. Internal calls that are not logged
are never returned.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Select, func, select

from bx24app.models import Call, CallPerson, Delivery, Pbx, Recording, db

OPEN_STATES = ("waiting", "sent")


def find_call(portal_id: int, call_id: int, viewer: int | None = None) -> Call | None:
    """One call of the journal; None: unknown, hidden, or not the viewer's."""
    query = _viewer_calls(portal_id, viewer).where(Call.id == call_id, Call.visible.is_(True))
    return db.session.scalars(query).first()


def find_continued(call: Call, viewer: int | None = None) -> Call | None:
    """The call of another PBX that this one continues; None: there is none, or the viewer may not see it."""
    call_id = call.read_facts().continued_call_id
    if not call_id:
        return None
    return find_call(call.portal_id, call_id, viewer)


def find_latest(portal_id: int, since: datetime) -> Call | None:
    """The newest call with a client that began at `since` or later."""
    query = select(Call).where(Call.portal_id == portal_id, Call.direction != "internal", Call.started_at >= since)
    return db.session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(1)).first()


def find_client_number(portal_id: int, bitrix_call_id: str, viewer: int) -> str | None:
    """The client's number of the viewer's call that the portal knows under this id."""
    if not bitrix_call_id:
        return None
    query = _viewer_calls(portal_id, viewer).where(Call.bitrix_call_id == bitrix_call_id, Call.visible.is_(True))
    return db.session.scalar(query.with_only_columns(Call.client_number).limit(1))


def find_recording(portal_id: int, recording_id: int) -> Recording | None:
    """One recording of the portal."""
    row = db.session.get(Recording, recording_id)
    return row if row is not None and row.portal_id == portal_id else None


def pbx_of(recording: Recording) -> Pbx | None:
    """The PBX that a recording comes from, removed or not."""
    return db.session.scalars(select(Pbx).join(Call, Call.pbx_id == Pbx.id).where(Call.id == recording.call_id)).first()


def load_recordings(call_ids: Iterable[int]) -> dict[int, list[Recording]]:
    """Call id -> its recordings, oldest first; a call without any is left out."""
    ids = list(call_ids)
    by_call: dict[int, list[Recording]] = {}
    query = select(Recording).where(Recording.call_id.in_(ids)).order_by(Recording.id)
    for row in db.session.scalars(query) if ids else ():
        by_call.setdefault(row.call_id, []).append(row)
    return by_call


def load_deliveries(call_id: int) -> list[Delivery]:
    """All commands of a call, in the order in which they were decided."""
    return list(db.session.scalars(select(Delivery).where(Delivery.call_id == call_id).order_by(Delivery.id)))


def count_open_deliveries(call_id: int) -> int:
    """Commands of a call that wait or are on their way."""
    query = select(func.count()).where(Delivery.call_id == call_id, Delivery.state.in_(OPEN_STATES))
    return db.session.scalar(query) or 0


def has_card_opened(call_id: int) -> bool:
    """Has the portal opened a call card for this call?"""
    done = select(Delivery.kind, Delivery.command).where(Delivery.call_id == call_id, Delivery.state == "done")
    return any(
        kind == "ShowCard" or (kind == "Register" and command.get("show")) for kind, command in db.session.execute(done)
    )


def _viewer_calls(portal_id: int, viewer: int | None) -> Select[Call]:
    query = select(Call).where(Call.portal_id == portal_id)
    if viewer is None:
        return query
    return query.join(CallPerson, CallPerson.call_id == Call.id).where(CallPerson.user_id == viewer)
