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

VerifiedAnswers = dict[str, dict[str, Any]]
"""Command key -> facts; a key that is missing has not happened."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One question about the commands of `keys`; `read` turns its answer into what was found."""

    method: str
    params: dict[str, Any]
    keys: frozenset[str]
    parse_answer: Callable[[Any], VerifiedAnswers]


def build_verification(commands: list[AnyCommand], ledger: Ledger, since: float) -> Verification | None:
    """The first question to ask for these uncertain commands of one call; None: all of them may simply be repeated.

    `since`: epoch seconds before which none of them had left.
    """
    for command in commands:
        asked: Verification | None = None
        if isinstance(command, Finish):
            asked = _verify_finish(command, ledger)
        elif isinstance(command, CreateRecord):
            asked = _verify_single(command, crm.build_record_query(command), partial(crm.match_record, command))
        elif isinstance(command, AddTodo):
            asked = _verify_todo(command, ledger)
        elif isinstance(command, AddComment):
            asked = _verify_comment(command, ledger, since)
        if asked is not None:
            return asked
    return None


def _verify_single(command: AnyCommand, request: telephony.RestRequest, read: Callable[[Any], dict[str, Any] | None]) -> Verification:
    """A question about one command."""

    def parse_answer(said: Any) -> VerifiedAnswers:
        facts = read(said)
        return {command.key: facts} if facts else {}

    return Verification(*request, frozenset({command.key}), parse_answer)


def _verify_finish(command: Finish, ledger: Ledger) -> Verification | None:
    """By the call's id where we know it. Else the request that was lost held the register too: a repeat of that would be a second
    call, so the statistics are asked by our own id.
    """
    entry = ledger.register_entry(command.part)
    if entry is None or not isinstance(entry.command, Register):
        return None
    if entry.state == "done":
        call = str(entry.answer["call_id"])
        return _verify_single(command, telephony.build_finish_query(call), partial(telephony.match_finish, call))
    register = entry.command

    def parse_answer(said: Any) -> VerifiedAnswers:
        for row in said:
            if str(row.get("EXTERNAL_CALL_ID")) == register.external_id and row.get("CALL_ID"):
                call = str(row["CALL_ID"])
                made: dict[str, Any] = {"call_id": call, "record": None, "created": [], "found": True}
                return {register.key: made, command.key: telephony.match_finish(call, [row]) or {}}
        return {}

    method, params = telephony.build_external_query(register.external_id)
    return Verification(method, params, frozenset({command.key, register.key}), parse_answer)


def _verify_todo(command: AddTodo, ledger: Ledger) -> Verification | None:
    record = _record_id(command.record, ledger)
    if record is None:
        return None
    return _verify_single(command, crm.build_todo_query(command, record), partial(crm.match_todo, command))


def _verify_comment(command: AddComment, ledger: Ledger, since: float) -> Verification | None:
    record = _record_id(command.record, ledger)
    if record is None:
        return None
    return _verify_single(command, crm.build_comment_query(command, record), partial(crm.match_comment, command, since))


def _record_id(record: Record, ledger: Ledger) -> int | None:
    """None: the record does not exist, so nothing can hang on it either."""
    found = ledger.resolve_ref(record.id) if isinstance(record.id, Ref) else record.id
    return int(found) if found is not None else None
