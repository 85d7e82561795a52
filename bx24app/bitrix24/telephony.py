"""Requests and answers of the calls themselves (`telephony.externalCall.*`, `voximplant.statistic.get`).

Built and named as in `crm`; the tables are in `commands`. Source: the official documentation of
`telephony.externalCall.*`. Flags are always 0 or 1, since the portal reads the text "N" as true.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bx24app.domain.calls.commands import Finish, HideCard, ReadClient, Ref, Register, ShowCard

RestRequest = tuple[str, dict[str, Any]]

_ENTITY_TYPES = {"lead": "LEAD", "contact": "CONTACT", "company": "COMPANY", "deal": "DEAL"}


def to_iso(at: int) -> str:
    """Epoch seconds as ISO 8601 with an offset; the portal would read a naive time in its server's zone."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def call_id_ref(part: int) -> Ref:
    """The CALL_ID in the answer to the register command of this part."""
    return Ref("register" if part == 1 else f"register-{part}", "call_id")


def build_register(command: Register) -> RestRequest:
    params: dict[str, Any] = {
        "USER_ID": command.user_id,
        "PHONE_NUMBER": command.number,
        "TYPE": command.type,
        "CALL_START_DATE": to_iso(command.started_at),
        "CRM_CREATE": int(command.create),
        "SHOW": int(command.show),
        "EXTERNAL_CALL_ID": command.external_id,
    }
    if command.create:
        params["CRM_SOURCE"] = command.source
    if command.line:
        params["LINE_NUMBER"] = command.line
    if command.record is not None and command.record.entity in ("lead", "contact", "company"):
        params["CRM_ENTITY_TYPE"] = _ENTITY_TYPES[command.record.entity]
        params["CRM_ENTITY_ID"] = command.record.id
    return "telephony.externalCall.register", params


def parse_register(result: dict[str, Any]) -> dict[str, Any]:
    """`record` is the client's, known before this call; `created` are the records that CRM_CREATE made."""
    created = [
        {"entity": str(item["ENTITY_TYPE"]).lower(), "id": int(item["ENTITY_ID"])}
        for item in result.get("CRM_CREATED_ENTITIES") or []
    ]
    if not created and result.get("CRM_CREATED_LEAD"):
        created = [{"entity": "lead", "id": int(result["CRM_CREATED_LEAD"])}]
    record = _parse_record(result)
    facts: dict[str, Any] = {
        "call_id": str(result["CALL_ID"]),
        "record": None if record in created else record,
        "created": created,
    }
    if result.get("LEAD_CREATION_ERROR"):
        facts["problem"] = str(result["LEAD_CREATION_ERROR"])
    return facts


def _parse_record(result: dict[str, Any]) -> dict[str, Any] | None:
    kind, number = str(result.get("CRM_ENTITY_TYPE") or "").lower(), result.get("CRM_ENTITY_ID")
    return {"entity": kind, "id": int(number)} if kind and number else None


def build_card(command: ShowCard | HideCard) -> RestRequest:
    verb = "show" if isinstance(command, ShowCard) else "hide"
    return f"telephony.externalCall.{verb}", {"CALL_ID": call_id_ref(command.part), "USER_ID": list(command.users)}


def build_finish(command: Finish) -> RestRequest:
    params: dict[str, Any] = {
        "CALL_ID": call_id_ref(command.part),
        "USER_ID": command.user_id,
        "DURATION": command.seconds,
        "STATUS_CODE": command.status,
        "ADD_TO_CHAT": 1,
    }
    if command.reason:
        params["FAILED_REASON"] = command.reason
    return "telephony.externalCall.finish", params


def parse_finish(result: dict[str, Any]) -> dict[str, Any]:
    """`activity_id` is None if the CRM has no record for the activity; then `problem` says so."""
    faults = result.get("ERRORS") or {}
    facts: dict[str, Any] = {
        "activity_id": int(result["CRM_ACTIVITY_ID"]) if result.get("CRM_ACTIVITY_ID") else None,
        "record": _parse_record(result),
    }
    if isinstance(faults, dict) and faults.get("ACTIVITY_CREATION"):
        facts["problem"] = str(faults["ACTIVITY_CREATION"])
    return facts


def build_finish_query(call: str) -> RestRequest:
    """After a lost answer: is the call in the statistics already?"""
    return "voximplant.statistic.get", {"FILTER": {"CALL_ID": call}}


def build_external_query(external_id: str) -> RestRequest:
    """The same if the answer with the CALL_ID was lost too."""
    return "voximplant.statistic.get", {"FILTER": {"EXTERNAL_CALL_ID": external_id}}


def match_finish(call: str, result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The facts of this call's row. The id is compared, since a portal that does not know the filter key returns all
    calls.
    """
    for row in result:
        if str(row.get("CALL_ID")) == call:
            activity = row.get("CRM_ACTIVITY_ID")
            return {"activity_id": int(activity) if activity else None, "record": _parse_record(row), "found": True}
    return None


def build_statistics_query(start: int, end: int) -> RestRequest:
    """Calls of all apps that began between two epochs."""
    period = {">=CALL_START_DATE": to_iso(start), "<=CALL_START_DATE": to_iso(end)}
    return "voximplant.statistic.get", {"FILTER": period}


def parse_statistic(row: dict[str, Any]) -> tuple[str, bool, datetime]:
    """(number, is outgoing, start) of a row of the statistics."""
    started = datetime.fromisoformat(str(row["CALL_START_DATE"]))
    return str(row.get("PHONE_NUMBER") or ""), str(row.get("CALL_TYPE")) in ("1", "4"), started


def build_read_client(command: ReadClient) -> RestRequest:
    return "telephony.externalCall.searchCrmEntities", {"PHONE_NUMBER": command.number}


def parse_clients(result: list[dict[str, Any]]) -> dict[str, Any]:
    """The records of a number with their responsible users and the state of those users' working day."""
    return {
        "records": [
            {
                "entity": str(item.get("CRM_ENTITY_TYPE", "")).lower(),
                "id": int(item["CRM_ENTITY_ID"]),
                "responsible": int(item["ASSIGNED_BY_ID"]) if item.get("ASSIGNED_BY_ID") else None,
                "name": str(item.get("NAME") or ""),
                "day": str((item.get("ASSIGNED_BY") or {}).get("TIMEMAN_STATUS") or ""),
            }
            for item in result
            if item.get("CRM_ENTITY_ID")
        ]
    }
