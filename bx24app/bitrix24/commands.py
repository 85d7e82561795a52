"""The table of the portal commands: how each becomes a request, what its answer means, which refusals are harmless.

The outbox (`calls.outbox`) builds requests and reads answers here. A new command needs a row in each table that
concerns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.bitrix24 import crm, telephony
from bx24app.bitrix24.answer_bounds import bound_facts
from bx24app.bitrix24.telephony import RestRequest
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

_REQUEST_BUILDERS: dict[type, Callable[[Any], RestRequest]] = {
    Register: telephony.build_register,
    ShowCard: telephony.build_card,
    HideCard: telephony.build_card,
    Finish: telephony.build_finish,
    ReadClient: telephony.build_read_client,
    ReadDeals: crm.build_read_deals,
    CreateRecord: crm.build_create_record,
    Reassign: crm.build_reassign,
    Bind: crm.build_bind,
    AddTodo: crm.build_add_todo,
    RetitleTodo: crm.build_retitle_todo,
    AddComment: crm.build_add_comment,
    ReadOpen: crm.build_read_open,
    ReadDay: crm.build_read_day,
    ReadTodo: crm.build_read_todo,
    CloseTodo: crm.build_close_todo,
    SetActivityUser: crm.build_set_user,
    Notify: crm.build_notify,
}
COMMAND_METHODS: dict[str, str] = {
    Register.__name__: "telephony.externalCall.register",
    ShowCard.__name__: "telephony.externalCall.show",
    HideCard.__name__: "telephony.externalCall.hide",
    Finish.__name__: "telephony.externalCall.finish",
    ReadClient.__name__: "telephony.externalCall.searchCrmEntities",
    ReadDeals.__name__: "crm.item.list",
    CreateRecord.__name__: "crm.item.add",
    Reassign.__name__: "crm.item.update",
    Bind.__name__: "crm.activity.binding.add",
    AddTodo.__name__: "crm.activity.todo.add",
    RetitleTodo.__name__: "crm.activity.update",
    AddComment.__name__: "crm.timeline.comment.add",
    ReadOpen.__name__: "crm.item.list",
    ReadDay.__name__: "timeman.status",
    ReadTodo.__name__: "crm.activity.get",
    CloseTodo.__name__: "crm.activity.update",
    SetActivityUser.__name__: "crm.activity.update",
    Notify.__name__: "im.notify.system.add",
}
"""Kind of a delivery -> its method, to expect its seconds before the request is built."""
_ANSWER_PARSERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Register: telephony.parse_register,
    Finish: telephony.parse_finish,
    ReadClient: telephony.parse_clients,
    ReadDeals: crm.parse_deals,
    CreateRecord: crm.parse_created_record,
    AddTodo: lambda result: {"id": int(result["id"])},
    AddComment: lambda result: {"id": int(result)},
    ReadOpen: crm.parse_open_items,
    ReadDay: crm.parse_day,
    ReadTodo: crm.parse_todo,
}
_FACT_PATHS: dict[tuple[type, str], str] = {
    (Register, "call_id"): "CALL_ID",
    (Finish, "activity_id"): "CRM_ACTIVITY_ID",
    (CreateRecord, "id"): "item][id",
    (AddTodo, "id"): "id",
}
"""(command, fact) -> path inside the raw answer, for references that Bitrix24 itself resolves within a batch."""


def build_request(command: AnyCommand, resolve: Callable[[Ref], Any]) -> RestRequest:
    """(method, params) of a command. `resolve` returns the value of a `Ref`, or a reference for the batch."""
    method, params = _REQUEST_BUILDERS[type(command)](command)
    filled: dict[str, Any] = _resolve_refs(params, resolve)
    return method, filled


def fact_path(command: AnyCommand, fact: str) -> str:
    """The path of a fact in the raw answer to `command`, for ``$result[key][…]``."""
    return _FACT_PATHS[type(command), fact]


def _resolve_refs(value: Any, resolve: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return resolve(value)
    if isinstance(value, dict):
        return {key: _resolve_refs(item, resolve) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve_refs(item, resolve) for item in value]
    return value


def parse_answer(command: AnyCommand, result: Any) -> dict[str, Any]:
    """The facts in the portal's answer.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the answer has not the documented shape.
    """
    parser = _ANSWER_PARSERS.get(type(command))
    return bound_facts(parser(result)) if parser else {}


def is_harmless_refusal(command: AnyCommand, description: str) -> bool:
    """Is the command's purpose fulfilled all the same? For example the record is bound already, or the to-do was
    deleted.
    """
    text = description.lower()
    if isinstance(command, Bind):
        return "already" in text or "bound" in text
    if isinstance(command, CloseTodo | RetitleTodo | ReadTodo):
        return "not found" in text or "not_found" in text
    return isinstance(command, HideCard | ShowCard) and "not found" in text


_RESPONSIBLE_WORDS = ("ответственн", "responsible", "assigned")


def is_about_user(command: AnyCommand, description: str) -> bool:
    """Was the responsible user of a record or to-do refused? Only the text of the refusal says so: the portal sends no
    code.
    """
    text = description.lower()
    return isinstance(command, CreateRecord | AddTodo) and any(word in text for word in _RESPONSIBLE_WORDS)
