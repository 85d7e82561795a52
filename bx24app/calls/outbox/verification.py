"""What to ask the portal after a lost answer, before anything that is not idempotent is repeated.

| command | repeated how |
|---|---|
| Register | with the same values; the statistics are asked where the lost request also held its finish |
| Finish | after `voximplant.statistic.get` by CALL_ID, else by EXTERNAL_CALL_ID |
| CreateRecord | after `crm.item.list` by its origin |
| AddTodo | after `crm.activity.list` by record, title and deadline |
| AddComment | after `crm.timeline.comment.list` by record, words and time |
| Notify | as it is: its tag makes the portal replace the first one (`parcels`) |
| all others | as they are: a repeat changes nothing |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bx24app.bitrix24 import crm, telephony
from bx24app.domain.calls.commands import AddComment, AddTodo, AnyCommand, CreateRecord, Finish, Record, Ref, Register
from bx24app.domain.calls.ledger import Ledger

Found = dict[str, dict[str, Any]]
"""Command key -> facts; a key that is missing has not happened."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """One question about the commands of `keys`; `read` turns its answer into what was found."""

    method: str
    params: dict[str, Any]
    keys: frozenset[str]
    read: Callable[[Any], Found]


def look_ups(commands: list[AnyCommand], ledger: Ledger, since: float) -> LookUp | None:
    """The first question to ask for these uncertain commands of one call; None: all of them may simply be repeated.

    `since`: epoch seconds before which none of them had left.
    """
    for command in commands:
        asked: LookUp | None = None
        if isinstance(command, Finish):
            asked = _finish(command, ledger)
        elif isinstance(command, CreateRecord):
            asked = _one(command, crm.look_for_record(command), partial(crm.found_record, command))
        elif isinstance(command, AddTodo):
            asked = _todo(command, ledger)
        elif isinstance(command, AddComment):
            asked = _comment(command, ledger, since)
        if asked is not None:
            return asked
    return None


def _one(command: AnyCommand, request: telephony.Request, read: Callable[[Any], dict[str, Any] | None]) -> LookUp:
    """A question about one command."""

    def found(said: Any) -> Found:
        facts = read(said)
        return {command.key: facts} if facts else {}

    return LookUp(*request, frozenset({command.key}), found)


def _finish(command: Finish, ledger: Ledger) -> LookUp | None:
    """By the call's id where we know it. Else the request that was lost held the register too: a repeat of that would be a second
    call, so the statistics are asked by our own id.
    """
    entry = ledger.register(command.part)
    if entry is None or not isinstance(entry.command, Register):
        return None
    if entry.state == "done":
        call = str(entry.answer["call_id"])
        return _one(command, telephony.look_for_finish(call), partial(telephony.found_finish, call))
    register = entry.command

    def found(said: Any) -> Found:
        for row in said:
            if str(row.get("EXTERNAL_CALL_ID")) == register.external_id and row.get("CALL_ID"):
                call = str(row["CALL_ID"])
                made: dict[str, Any] = {"call_id": call, "record": None, "created": [], "found": True}
                return {register.key: made, command.key: telephony.found_finish(call, [row]) or {}}
        return {}

    method, params = telephony.look_for_external(register.external_id)
    return LookUp(method, params, frozenset({command.key, register.key}), found)


def _todo(command: AddTodo, ledger: Ledger) -> LookUp | None:
    record = _id(command.record, ledger)
    if record is None:
        return None
    return _one(command, crm.look_for_todo(command, record), partial(crm.found_todo, command))


def _comment(command: AddComment, ledger: Ledger, since: float) -> LookUp | None:
    record = _id(command.record, ledger)
    if record is None:
        return None
    return _one(command, crm.look_for_comment(command, record), partial(crm.found_comment, command, since))


def _id(record: Record, ledger: Ledger) -> int | None:
    """None: the record does not exist, so nothing can hang on it either."""
    found = ledger.fact(record.id) if isinstance(record.id, Ref) else record.id
    return int(found) if found is not None else None
