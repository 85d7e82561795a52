"""The one table from command to request and from answer to facts; used by the drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.bitrix24 import crm, telephony
from bx24app.bitrix24.telephony import Request
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
    Ref,
    Register,
    RetitleTodo,
    SetActivityUser,
    ShowCard,
)

_REQUESTS: dict[type, Callable[[Any], Request]] = {
    Register: telephony.register,
    ShowCard: telephony.cards,
    HideCard: telephony.cards,
    Finish: telephony.finish,
    ReadClient: telephony.search,
    ReadDeals: crm.open_deals,
    CreateRecord: crm.create,
    Reassign: crm.reassign,
    Bind: crm.bind,
    AddTodo: crm.todo,
    RetitleTodo: crm.retitle,
    AddComment: crm.comment,
    ReadOpen: crm.open_items,
    ReadDay: crm.day,
    ReadTodo: crm.look_at_todo,
    CloseTodo: crm.close,
    SetActivityUser: crm.set_user,
    Notify: crm.notify,
}
_FACTS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Register: telephony.registered,
    Finish: telephony.finished,
    ReadClient: telephony.searched,
    ReadDeals: crm.deals,
    CreateRecord: crm.created,
    AddTodo: lambda result: {"id": int(result["id"])},
    AddComment: lambda result: {"id": int(result)},
    ReadOpen: crm.opened,
    ReadDay: crm.day_told,
    ReadTodo: crm.todo_told,
}
_PATHS: dict[tuple[type, str], str] = {
    (Register, "call_id"): "CALL_ID",
    (Finish, "activity_id"): "CRM_ACTIVITY_ID",
    (CreateRecord, "id"): "item][id",
    (AddTodo, "id"): "id",
}
"""Fact -> path inside the raw answer, for references that Bitrix24 itself fills in within a batch."""


def request(command: AnyCommand, resolve: Callable[[Ref], Any]) -> Request:
    """(method, params) of a command; every `Ref` is handed to `resolve`, which gives its value or a reference for a batch."""
    method, params = _REQUESTS[type(command)](command)
    filled: dict[str, Any] = _filled(params, resolve)
    return method, filled


def path_of(command: AnyCommand, fact: str) -> str:
    """Where a fact stands in the raw answer to `command`, for ``$result[key][…]``."""
    return _PATHS[type(command), fact]


def _filled(value: Any, resolve: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return resolve(value)
    if isinstance(value, dict):
        return {key: _filled(item, resolve) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, resolve) for item in value]
    return value


def facts(command: AnyCommand, result: Any) -> dict[str, Any]:
    """What the portal's answer means; raises KeyError, TypeError or ValueError where it is not of the documented shape."""
    reader = _FACTS.get(type(command))
    return reader(result) if reader else {}


def forgiven(command: AnyCommand, description: str) -> bool:
    """Is this refusal as good as done? Binding what is bound; hiding the card of a call that is over; closing a to-do that is gone."""
    text = description.lower()
    if isinstance(command, Bind):
        return "already" in text or "bound" in text
    if isinstance(command, CloseTodo | RetitleTodo):  # somebody removed it: nothing is left to do
        return "not found" in text or "not_found" in text
    return isinstance(command, HideCard | ShowCard) and "not found" in text


_RESPONSIBLE = ("ответственн", "responsible", "assigned")


def names_user(command: AnyCommand, description: str) -> bool:
    """Does this refusal mean the user to whom a record or to-do was to go? Known by its wording alone: the portal gives no code."""
    text = description.lower()
    return isinstance(command, CreateRecord | AddTodo) and any(word in text for word in _RESPONSIBLE)


__all__ = ["facts", "forgiven", "names_user", "path_of", "request"]
