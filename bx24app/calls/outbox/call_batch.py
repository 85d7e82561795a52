"""Builds the batch of one call: its first waiting commands, as many as may leave together.

`batches` claims calls and asks here. Nothing overtakes a command of its call that is on its way.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from bx24app.bitrix24.batch_filter import is_altered_in_batch
from bx24app.bitrix24.errors import Refused
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.shared_batches import ExpectedSeconds
from bx24app.calls.outbox.verification import build_verification
from bx24app.domain.calls.batch_sizes import BatchRoom, is_live_card, may_join_cards
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import (
    AddComment,
    AddTodo,
    AnyCommand,
    Bind,
    CloseTodo,
    CreateRecord,
    Finish,
    HideCard,
    Notify,
    ReadClient,
    ReadDay,
    ReadDeals,
    ReadOpen,
    ReadTodo,
    Reassign,
    Register,
    RetitleTodo,
    SetActivityUser,
    ShowCard,
)  # fmt: skip
from bx24app.domain.calls.ledger import Ledger
from bx24app.models import Delivery

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far a portal's clock may be behind ours."""


def is_card(rows: list[Delivery]) -> bool:
    """Is somebody's screen waiting for the first of these open rows of one call?"""
    return is_live_card([row.kind for row in rows])


def build_call_batch(rows: list[Delivery], ledger: Ledger, expect: ExpectedSeconds, shared: bool) -> Batch:
    """Of the open rows of one call. `shared`: it will travel with other calls in a request that no error ends."""
    items = [_build_item(row) for row in rows]
    uncertain = [item for item, row in zip(items, rows, strict=True) if row.uncertain]
    since = (min(row.created_at for row in rows) - MAX_CLOCK_SKEW).timestamp()
    verification = build_verification([item.command for item in uncertain], ledger, since)
    if verification is not None:
        questioned = [item for item in uncertain if item.command.key in verification.keys]
        return Batch(questioned, verification=verification, is_exclusive=True)
    values = {rows[0].call_id: _ledger_values(ledger)}
    if rows[0].code == Refused.__name__:
        # Its batch was refused as a whole: sent alone, only the command that deserves it dies.
        return Batch(items[:1], values, is_exclusive=True)
    if is_altered_in_batch(items[0].command):
        return Batch(items[:1], values, is_exclusive=True)  # alone, so that it is no batch
    chain: list[BatchItem] = []
    room, among_cards = BatchRoom(), shared and is_card(rows)
    for item, row in zip(items, rows, strict=True):
        if is_altered_in_batch(item.command) or (chain and shared and not _can_join_chain(item.command, chain)):
            break
        if among_cards and not may_join_cards(item.command):
            break
        if not room.take([expect(row.kind)]):
            break
        if isinstance(item.command, Finish) and any(_may_create_record(earlier.command) for earlier in chain):
            break
        chain.append(item)
    return Batch(chain, values, shared)


def _may_create_record(command: AnyCommand) -> bool:
    """May the portal create the client's record by itself, and name it only in this answer?

    If the answer were lost together with the finish, nobody would know afterwards which record that was, and the record
    would stay with the user who finished the call.
    """
    return isinstance(command, Register) and command.create


def _build_item(row: Delivery) -> BatchItem:
    """A notice gets a tag: after a lost answer, a repeat replaces the first notice of the same tag in the portal."""
    command = from_json(row.kind, row.command)
    if isinstance(command, Notify) and not command.tag:
        command = dataclasses.replace(command, tag=f"bx24app:{row.id}")
    return BatchItem(row.id, row.call_id, command)


_MAY_FOLLOW = (
    ShowCard, HideCard, Finish, Reassign, Bind, SetActivityUser, RetitleTodo, CloseTodo,
    ReadClient, ReadDeals, ReadOpen, ReadDay, ReadTodo,
)  # fmt: skip


def _can_join_chain(command: AnyCommand, chain: list[BatchItem]) -> bool:
    """A shared batch does not stop at an error: only a command that fails harmlessly behind a failed one may join."""
    if any(isinstance(item.command, CreateRecord | AddTodo | AddComment) for item in chain):
        return False
    return isinstance(command, _MAY_FOLLOW)


def _ledger_values(ledger: Ledger) -> dict[tuple[str, str], Any]:
    return {
        (entry.command.key, fact): value
        for entry in ledger
        if entry.state == "done"
        for fact, value in entry.answer.items()
    }
