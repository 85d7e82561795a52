"""The outbox of a call as the fold sees it."""

from __future__ import annotations

from collections.abc import Iterable

from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.ledger import LedgerEntry as LedgerEntry
from bx24app.models import Call, Delivery

FoldedCalls = dict[int, tuple[Call, list[Delivery]]]
"""Calls of the present transaction with all their deliveries in order, by row id."""


def build_ledger(rows: Iterable[Delivery]) -> Ledger:
    """The outbox of one call as the fold sees it."""
    return Ledger(
        [
            LedgerEntry(from_json(row.kind, row.command), row.state, row.answer or {}, row.code)  # type: ignore[arg-type]
            for row in rows
        ]
    )
