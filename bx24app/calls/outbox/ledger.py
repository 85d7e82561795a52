"""Reads deliveries: the outbox of a portal once in a transaction, and that of a call as the ledger that the fold and
the batches work with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, select, union_all
from sqlalchemy.orm import Session

from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from bx24app.models import Call, Delivery
from bx24app.models.calls import OPEN_DELIVERY

FoldedCalls = dict[int, tuple[Call, list[Delivery]]]
"""Row id -> a call that the current transaction has read, with all its deliveries in order."""


MAX_OTHER_ROWS = 50
"""Open deliveries of calls that are not folded that are read along; where there are more, a claim reads them itself."""

_CALLS: BindParameter[Any] = bindparam("calls", expanding=True)
_OTHERS = (
    select(Delivery)
    .where(
        Delivery.portal_id == bindparam("portal"),
        OPEN_DELIVERY,
        Delivery.call_id.not_in(_CALLS),
    )
    .order_by(Delivery.call_id, Delivery.id)
    .limit(MAX_OTHER_ROWS + 1)
    .subquery()
)
# Built once: building a statement costs more than SQLite needs to answer it.
_OUTBOX = select(Delivery).from_statement(
    union_all(select(Delivery.__table__).where(Delivery.call_id.in_(_CALLS)), select(_OTHERS))
)


@dataclass(slots=True)
class Outbox:
    """What one transaction has read of a portal's deliveries, in one statement."""

    by_call: dict[int, list[Delivery]]
    """Call id -> all its deliveries in order, of the calls that were asked for."""
    others: list[Delivery] | None
    """The open deliveries of all other calls of the portal; None: there are too many, so they were not read."""


def load_outbox(session: Session, portal_id: int, call_ids: Sequence[int]) -> Outbox:
    """All deliveries of these calls, and what is open of the others."""
    outbox, calls, others = Outbox({}, None), set(call_ids), list[Delivery]()
    rows = session.scalars(_OUTBOX, {"portal": portal_id, "calls": list(call_ids)})
    for row in sorted(rows, key=lambda row: row.id):
        (outbox.by_call.setdefault(row.call_id, []) if row.call_id in calls else others).append(row)
    if len(others) <= MAX_OTHER_ROWS:
        outbox.others = others
    return outbox


def build_ledger(rows: Iterable[Delivery]) -> Ledger:
    """The ledger of one call. `rows`: all its deliveries in order."""
    return Ledger(
        [
            LedgerEntry(
                from_json(row.kind, row.command),
                row.state,  # type: ignore[arg-type]
                row.answer or {},
                row.code,
            )
            for row in rows
        ]
    )
