"""Reads the outbox of a call (rows of `Delivery`) as the ledger that the fold and the batches work with."""

from __future__ import annotations

from collections.abc import Iterable

from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from bx24app.models import Call, Delivery

FoldedCalls = dict[int, tuple[Call, list[Delivery]]]
"""Row id -> a call that the current transaction has read, with all its deliveries in order."""


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
