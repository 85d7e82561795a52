"""Employees in the entries of `stats/calls`: who a leg's "abonent" is (Mango's API document D26, 3.4.2.3). Pure.

`call_abonent_id` is an employee's `general.user_id`, also on a leg of the type `number`: there it is the caller or the
callee, by direction. The extension is documented on no leg; live accounts send `call_abonent_extension`. So an entry is
completed before it is read: ids become extensions, and on a dialled number the employee becomes the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OUTGOING, INTERNAL = 2, 3
"""`context_type` of an outgoing and an internal call."""
_PEOPLE = ("user", "number")


def list_user_ids(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """The ids of employees who are named by an id alone."""
    entries = list(entries)
    of_legs = {_user_id(entry, leg) for entry in entries for leg in _iter_legs(entry)}
    return (of_legs | {_caller_id(entry) for entry in entries}) - {""}


def list_group_ids(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """The ids of groups that are named by an id alone."""
    return {_group_id(leg) for entry in entries for leg in _iter_legs(entry)} - {""}


def add_extensions(
    entry: Mapping[str, Any], extensions: Mapping[str, str], groups: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The entry with the extensions of legs whose employee is named by an id, and of the employee who made the call. An
    unknown id changes nothing.

    Args:
        extensions: `general.user_id` -> extension.
        groups: id of a group -> extension.
    """
    legs = [_complete_leg(entry, leg, extensions, groups or {}) for leg in _legs_of(entry)]
    caller = extensions.get(_caller_id(entry))
    return {**entry, "context_calls": legs} | ({"caller_extension": caller} if caller else {})


def turn_dialled_leg(entry: Mapping[str, Any], leg: dict[str, Any]) -> dict[str, Any]:
    """A leg to a number of an outgoing call, as everything else reads it: the employee is its caller.

    `leg` as it is if it names its caller already, or leads to an employee.
    """
    extension = leg.get("call_abonent_extension")
    is_outgoing = str(entry.get("context_type")) == str(OUTGOING) and leg.get("DirectionOutbound") is not False
    is_dialled = is_outgoing and str(leg.get("call_type") or "").lower() == "number"
    if not is_dialled or not extension or leg.get("caller_extension"):
        return leg
    return {**leg, "caller_extension": extension, "call_abonent_extension": None, "call_abonent_number": None}


def _complete_leg(
    entry: Mapping[str, Any], leg: Any, extensions: Mapping[str, str], groups: Mapping[str, str]
) -> Any:
    if not isinstance(leg, dict):
        return leg
    extension = extensions.get(_user_id(entry, leg)) or groups.get(_group_id(leg))
    members = leg.get("members")
    completed = {**leg, "call_abonent_extension": extension} if extension else dict(leg)
    if isinstance(members, list):
        completed["members"] = [_complete_leg(entry, member, extensions, groups) for member in members]
    return completed


def _user_id(entry: Mapping[str, Any], leg: Mapping[str, Any]) -> str:
    """The id of an employee whose extension the leg does not tell; "": there is none."""
    kind = str(leg.get("call_type") or "").lower()
    if kind not in _PEOPLE or leg.get("call_abonent_extension") or leg.get("caller_extension"):
        return ""
    user_id = leg.get("call_abonent_id")
    if not user_id and kind == "number" and str(entry.get("context_type")) == str(OUTGOING):
        user_id = entry.get("caller_id")
    return str(user_id or "")


def _group_id(leg: Mapping[str, Any]) -> str:
    is_group = str(leg.get("call_type") or "").lower() == "group"
    return str(leg.get("call_abonent_id") or "") if is_group and not leg.get("call_abonent_extension") else ""


def _caller_id(entry: Mapping[str, Any]) -> str:
    """The id of the employee who made an internal call, if no leg names them; "": nobody, or it is not needed."""
    is_internal = str(entry.get("context_type")) == str(INTERNAL)
    is_named = entry.get("caller_extension") or any(leg.get("caller_extension") for leg in _iter_legs(entry))
    return str(entry.get("caller_id") or "") if is_internal and not is_named else ""


def _legs_of(entry: Mapping[str, Any]) -> list[Any]:
    legs = entry.get("context_calls")
    return legs if isinstance(legs, list) else []


def _iter_legs(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for leg in _legs_of(entry):
        if isinstance(leg, dict):
            yield leg
            members = leg.get("members")
            yield from (member for member in members if isinstance(member, dict)) if isinstance(members, list) else ()
