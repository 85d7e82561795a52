"""The question to the portal after a lost answer: was the command carried out? It comes before a repeat of anything
that is not idempotent.

`batches` builds the question, `sender` asks it and stores what it showed.

| command | repeated |
|---|---|
| Register | with the same values; the statistics are asked where the lost request also held its finish |
| Finish | after `voximplant.statistic.get` by CALL_ID, else by EXTERNAL_CALL_ID |
| CreateRecord | after `crm.item.list` by its origin |
| AddTodo | after `crm.activity.list` by record, title and deadline |
| AddComment | after `crm.timeline.comment.list` by record, text and time |
| Notify | as it is: its tag makes the portal replace the first one (`batches`) |
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
"""Command key -> facts of its answer; a command whose key is missing was not carried out."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One question about the commands of `keys`."""

    method: str
    params: dict[str, Any]
    keys: frozenset[str]
    parse_answer: Callable[[Any], VerifiedAnswers]


def build_verification(commands: list[AnyCommand], ledger: Ledger, since: float) -> Verification | None:
    """The first question to ask about these uncertain commands of one call; None: all of them may simply be repeated.

    `since`: epoch seconds before which none of them had left.
    """
    for command in commands:
        verification: Verification | None = None
        if isinstance(command, Finish):
            verification = _verify_finish(command, ledger)
        elif isinstance(command, CreateRecord):
            verification = _verify_single(command, crm.build_record_query(command), partial(crm.match_record, command))
        elif isinstance(command, AddTodo):
            verification = _verify_todo(command, ledger)
        elif isinstance(command, AddComment):
            verification = _verify_comment(command, ledger, since)
        if verification is not None:
            return verification
    return None


def _verify_single(
    command: AnyCommand, request: telephony.RestRequest, match: Callable[[Any], dict[str, Any] | None]
) -> Verification:
    """A question about one command. `match`: the command's facts in the answer, None where it is not there."""

    def parse_answer(answer: Any) -> VerifiedAnswers:
        facts = match(answer)
        return {command.key: facts} if facts else {}

    return Verification(*request, frozenset({command.key}), parse_answer)


def _verify_finish(command: Finish, ledger: Ledger) -> Verification | None:
    """By the call's id if we know it.

    Else the lost request held the register too, whose repeat would be a second call: then by our own id.
    """
    entry = ledger.register_entry(command.part)
    if entry is None or not isinstance(entry.command, Register):
        return None
    if entry.state == "done":
        call = str(entry.answer["call_id"])
        return _verify_single(command, telephony.build_finish_query(call), partial(telephony.match_finish, call))
    register = entry.command

    def parse_answer(rows: Any) -> VerifiedAnswers:
        for row in rows:
            if str(row.get("EXTERNAL_CALL_ID")) == register.external_id and row.get("CALL_ID"):
                call = str(row["CALL_ID"])
                facts: dict[str, Any] = {"call_id": call, "record": None, "created": [], "found": True}
                return {register.key: facts, command.key: telephony.match_finish(call, [row]) or {}}
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
    """None: the record does not exist, so nothing can be attached to it either."""
    record_id = ledger.resolve_ref(record.id) if isinstance(record.id, Ref) else record.id
    return int(record_id) if record_id is not None else None
