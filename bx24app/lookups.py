"""What to ask the portal after a lost answer, before anything that is not idempotent is repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24 import crm, telephony
from bx24app.domain.commands import AnyCommand, CreateRecord, Finish, Register
from bx24app.domain.ledger import Ledger


@dataclass(frozen=True, slots=True)
class LookUp:
    """One question; `read` turns its answer into facts by command key (a key that is missing has not happened)."""

    method: str
    params: dict[str, Any]
    keys: frozenset[str]
    read: Callable[[Any], dict[str, dict[str, Any]]]


def look_ups(commands: list[AnyCommand], ledger: Ledger) -> LookUp | None:
    """The first question to ask for these uncertain commands of one call; None: all of them may simply be repeated.

    Register is repeated with the same values (the portal gives the same CALL_ID, or an orphan that no statistics show), unless
    the lost request also contained its finish: then a repeat would make a second call, so the statistics are asked.
    """
    for command in commands:
        if isinstance(command, Finish):
            return _finish(command, commands, ledger)
        if isinstance(command, CreateRecord):
            return _record(command)
    return None


def _finish(command: Finish, commands: list[AnyCommand], ledger: Ledger) -> LookUp:
    register = ledger.register(command.part)
    if register is not None and register.state == "done":
        call = str(register.answer["call_id"])
        method, params = telephony.look_for_finish(command, call)

        def by_call(result: Any) -> dict[str, dict[str, Any]]:
            row = telephony.found_finish(command, call, result or [])
            return {command.key: row} if row else {}

        return LookUp(method, params, frozenset({command.key}), by_call)
    registers = [c for c in commands if isinstance(c, Register) and c.part == command.part]
    external = registers[0].external_id if registers else ""

    def by_external(result: Any) -> dict[str, dict[str, Any]]:
        for row in result or []:
            if str(row.get("EXTERNAL_CALL_ID")) == external and row.get("CALL_ID"):
                finished = telephony.found_finish(command, str(row["CALL_ID"]), [row])
                made: dict[str, Any] = {"call_id": str(row["CALL_ID"]), "record": None, "created": [], "found": True}
                return {registers[0].key: made, command.key: finished or {}}
        return {}

    keys = frozenset({command.key, *(c.key for c in registers)})
    return LookUp("voximplant.statistic.get", {"FILTER": {"EXTERNAL_CALL_ID": external}}, keys, by_external)


def _record(command: CreateRecord) -> LookUp:
    method, params = crm.look_for_record(command)

    def read(result: Any) -> dict[str, dict[str, Any]]:
        found = crm.found_record(command, result or {})
        return {command.key: found} if found else {}

    return LookUp(method, params, frozenset({command.key}), read)
