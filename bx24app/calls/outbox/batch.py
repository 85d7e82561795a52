"""What leaves in one REST request: a batch of commands, each with the rows of the outbox that it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bx24app.bitrix24.budget import Priority
from bx24app.calls.outbox.verification import Verification
from bx24app.domain.calls.commands import (
    AnyCommand,
    CreateRecord,
    Finish,
    HideCard,
    ReadClient,
    ReadDay,
    ReadOpen,
    Register,
    ShowCard,
)


@dataclass(slots=True)
class BatchItem:
    """One command of a batch, with the ids of its rows."""

    delivery_id: int
    call_id: int
    command: AnyCommand

    @property
    def batch_key(self) -> str:
        """Its key in a batch: letters and digits only."""
        return f"d{self.delivery_id}"


@dataclass(slots=True)
class Batch:
    """One REST request: a command, a chain of one call, commands of several calls (`is_shared`), or a verification."""

    items: list[BatchItem]
    known_values: dict[int, dict[tuple[str, str], Any]] = field(default_factory=dict)
    """Call id -> what the portal answered to earlier commands of the call, as (command key, fact) -> value."""
    is_shared: bool = False
    verification: Verification | None = None
    is_exclusive: bool = False
    """Never together with others: a verification, a command that a batch would alter, or one whose batch was refused
    as a whole."""
    is_background: bool = False
    """Of backfilled calls: it leaves only when the budget has more than everything else needs."""
    entry_ids: list[str] = field(default_factory=list)
    """Entry ids of its calls, when tracing is on."""
    claimed_at: datetime | None = None
    """`Delivery.sent_at` of its rows: a row with another value belongs to somebody else by now."""
    expected_seconds: float = 0.0
    """How long the portal will probably work on it."""
    leave_by: float | None = None
    """Moment of the monotonic clock after which it must not leave, because another worker may have its rows."""

    @property
    def priority(self) -> Priority:
        if self.is_background:
            return Priority.BACKGROUND
        kinds = {type(item.command) for item in self.items}
        if kinds & {Register, ShowCard, HideCard}:
            return Priority.CARD
        # What is read before a record is created delays its finish, so it is as urgent.
        urgent = {Finish, CreateRecord, ReadClient, ReadOpen, ReadDay}
        return Priority.FINISH if kinds & urgent else Priority.RECORD
