"""What did not get through, as lists: refused deliveries, waiting ones, lost recordings, notifications that could not
be read, calls on which the program failed.

Pages show the lists and their counts; `calls.replay` tries again what they hold. Every list runs on a partial index of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Select, func, literal_column, select

from bx24app.calls import replay, set_aside
from bx24app.models import Call, Delivery, Notification, Recording, SetAside, db

Kind = Literal["dead", "waiting", "recordings", "rejected", "set_aside"]
KINDS: tuple[Kind, ...] = ("dead", "waiting", "recordings", "rejected", "set_aside")
MAX_COUNTED = 1000
"""Rows are counted up to one more than this; a page then says "more than"."""
_MODELS: dict[str, Any] = {"recordings": Recording, "rejected": Notification, "set_aside": SetAside}


def count_by_kind(portal_id: int) -> dict[str, int]:
    """Kind -> rows, at most `MAX_COUNTED` + 1."""
    return {kind: _count_rows(_build_query(portal_id, kind)) for kind in KINDS}


def list_rows(portal_id: int, kind: str, below: int | None, limit: int) -> list[Any]:
    """Rows of a kind with an id below `below`, the newest first: deliveries, recordings, notifications, or
    rows that were set aside."""
    model = _MODELS.get(kind, Delivery)
    query = _build_query(portal_id, kind).order_by(model.id.desc()).limit(limit)
    return list(db.session.scalars(query if below is None else query.where(model.id < below)))


def load_calls(call_ids: Iterable[int]) -> dict[int, Call]:
    """The calls that the rows of a list belong to, by id."""
    ids = set(call_ids)
    return {row.id: row for row in db.session.scalars(select(Call).where(Call.id.in_(ids)))} if ids else {}


def load_notifications(ids: Iterable[int]) -> dict[int, Notification]:
    """Notifications by id."""
    return {row.id: row for row in db.session.scalars(select(Notification).where(Notification.id.in_(set(ids))))}


def count_retryable(portal_id: int, call_id: int) -> int:
    """Refused deliveries of one call that may be tried again."""
    query = replay.retryable_deliveries(portal_id, call_id).with_only_columns(func.count())
    return db.session.scalar(query) or 0


def find_notification(portal_id: int, row_id: int) -> Notification | None:
    """One notification of the portal."""
    row = db.session.get(Notification, row_id)
    return row if row is not None and row.portal_id == portal_id else None


def _count_rows(query: Select[Any]) -> int:
    some = query.with_only_columns(query.selected_columns[0]).limit(MAX_COUNTED + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def _build_query(portal_id: int, kind: str) -> Select[Any]:
    if kind == "dead":
        return replay.retryable_deliveries(portal_id)
    if kind == "waiting":
        return select(Delivery).where(Delivery.portal_id == portal_id, Delivery.state.in_(("waiting", "sent")))
    if kind == "recordings":
        return select(Recording).where(Recording.portal_id == portal_id, _equals_literal(Recording.state, "lost"))
    if kind == "set_aside":
        return select(SetAside).where(*set_aside.listed(portal_id))
    program_failed = select(SetAside.row_id).where(SetAside.portal_id == portal_id, SetAside.kind == "notification")
    return select(Notification).where(
        Notification.portal_id == portal_id,
        _equals_literal(Notification.state, "rejected"),
        Notification.id.not_in(program_failed),
    )


def _equals_literal(column: Any, value: str) -> Any:
    # As a bound parameter the value would hide the partial index from SQLite.
    return column == literal_column(f"'{value}'")
