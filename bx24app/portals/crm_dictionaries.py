"""The portal's CRM dictionaries: sources, stages, pipelines and smart processes, read daily and by a button.

They are stored in one row. Pages, rules and the fold read it without a request. What the portal does not answer (a
right is missing, an answer is empty) keeps its last value.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, Bitrix24Client, RestResult
from bx24app.domain.crm_dictionaries import DEAL, CrmDictionaries
from bx24app.infra.logs import get_logger
from bx24app.models import Dictionary, db, utcnow
from bx24app.portals.clients import client_by_id

_log = get_logger(__name__)
_BatchAnswers = dict[str, RestResult | errors.PortalError]


def load(portal_id: int) -> CrmDictionaries:
    """The dictionaries as last read; empty if the portal was never asked."""
    row = db.session.get(Dictionary, portal_id)
    return CrmDictionaries(row.content) if row is not None else CrmDictionaries()


def last_read_at(portal_id: int) -> datetime | None:
    """When the dictionaries were last read."""
    row = db.session.get(Dictionary, portal_id)
    return row.read_at if row is not None else None


def fetch(portal_id: int) -> CrmDictionaries:
    """Ask the portal now and store its answer. Commits.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    store_answers(portal_id, ask_portal(client_by_id(portal_id), Priority.CARD))
    db.session.commit()
    return load(portal_id)


def ask_portal(client: Bitrix24Client, priority: Priority = Priority.BACKGROUND) -> dict[str, Any]:
    """The portal's answer in the stored form; two requests, more only for hundreds of smart processes.

    Raises:
        bx24app.bitrix24.errors.PortalError
    """
    answers = client.batch(
        [
            ("statuses", "crm.status.list", {"order": {"SORT": "ASC"}}),
            ("types", "crm.type.list", {}),
            ("deals", "crm.category.list", {"entityTypeId": DEAL}),
        ],
        priority=priority,
    )
    content: dict[str, Any] = {}
    statuses = _parse_statuses(_answer_rows(answers, "statuses", ""))
    if statuses:
        content["statuses"] = statuses
    deals = _parse_pipelines(_answer_rows(answers, "deals", "categories"))
    pipelines = {str(DEAL): deals} if deals else {}
    types = _smart_process_types(client, answers, priority)
    if types is not None:
        content["types"] = [{"id": number, "name": name} for number, name in types]
        pipelines |= _type_pipelines(client, [number for number, _ in types], priority)
    if pipelines:
        content["pipelines"] = pipelines
    return content


def _smart_process_types(
    client: Bitrix24Client, answers: _BatchAnswers, priority: Priority
) -> list[tuple[int, str]] | None:
    """(entity type id, name) of every smart process; None: the portal did not answer that."""
    first = answers.get("types")
    rows = _answer_rows(answers, "types", "types")
    if rows is None or not isinstance(first, RestResult):
        return None
    if first.next is not None:
        rows = list(client.iter_rows("crm.type.list", {}, priority))
    return [
        (int(row["entityTypeId"]), str(row.get("title") or row["entityTypeId"]))
        for row in rows
        if isinstance(row, dict) and str(row.get("entityTypeId", "")).isdecimal()
    ]


def _type_pipelines(client: Bitrix24Client, numbers: list[int], priority: Priority) -> dict[str, list[dict[str, Any]]]:
    pipelines = {}
    for start in range(0, len(numbers), MAX_BATCH_SIZE):
        part = numbers[start : start + MAX_BATCH_SIZE]
        answers = client.batch(
            [(f"t{number}", "crm.category.list", {"entityTypeId": number}) for number in part], priority=priority
        )
        for number in part:
            rows = _parse_pipelines(_answer_rows(answers, f"t{number}", "categories"))
            if rows:
                pipelines[str(number)] = rows
    return pipelines


def _answer_rows(answers: _BatchAnswers, key: str, name: str) -> list[Any] | None:
    """The rows of one command; None if the portal refused it (a CRM without this part, a missing right)."""
    answer = answers.get(key)
    if not isinstance(answer, RestResult):
        _log.info("dictionary not answered", part=key, reason=str(answer))
        return None
    rows = answer.result.get(name) if name and isinstance(answer.result, dict) else answer.result
    return rows if isinstance(rows, list) else None


def _parse_pipelines(rows: list[Any] | None) -> list[dict[str, Any]]:
    return [
        {"id": int(row["id"]), "name": str(row.get("name") or row["id"]), "default": row.get("isDefault") == "Y"}
        for row in rows or []
        if isinstance(row, dict) and str(row.get("id", "")).isdecimal()
    ]


def _parse_statuses(rows: list[Any] | None) -> dict[str, list[dict[str, str]]]:
    statuses: dict[str, list[dict[str, str]]] = {}
    for row in rows or []:
        entity = str(row.get("ENTITY_ID") or "") if isinstance(row, dict) else ""
        if (entity in ("SOURCE", "STATUS") or "_STAGE" in entity) and row.get("STATUS_ID"):
            status = {"id": str(row["STATUS_ID"]), "name": str(row.get("NAME") or row["STATUS_ID"])}
            if "_STAGE" in entity:
                status["semantics"] = str(row.get("SEMANTICS") or "")
            statuses.setdefault(entity, []).append(status)
    return statuses


def store_answers(portal_id: int, content: dict[str, Any]) -> None:
    """Store what `ask_portal` returned; parts without an answer stay as they were. The caller commits."""
    row = db.session.get(Dictionary, portal_id)
    if row is None:
        row = Dictionary(portal_id=portal_id, content={})
        db.session.add(row)
    row.content, row.read_at = {**row.content, **content}, utcnow()
