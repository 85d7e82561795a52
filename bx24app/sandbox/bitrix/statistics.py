"""The method voximplant.statistic.get: the finished calls of a portal.

S: the portal silently ignores an unknown filter key, so the list is not filtered by it. Here it becomes a violation.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import filters
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, access_denied, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import Statistic, type_name

FILTER_PREFIXES = frozenset({"", "!", "<", "<=", ">", ">=", "><", "!><", "?", "=", "!=", "%", "!%"})
FILTER_FIELDS = frozenset(
    {
        "ID", "CALL_ID", "EXTERNAL_CALL_ID", "CALL_CATEGORY", "PORTAL_USER_ID", "PORTAL_NUMBER", "PHONE_NUMBER",
        "CALL_TYPE", "CALL_DURATION", "CALL_START_DATE", "CALL_LOG", "CALL_RECORD_URL", "CALL_VOTE", "COST",
        "COST_CURRENCY", "CALL_FAILED_CODE", "CALL_FAILED_REASON", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID",
        "CRM_ACTIVITY_ID", "REST_APP_ID", "REST_APP_NAME", "TRANSCRIPT_ID", "TRANSCRIPT_PENDING", "SESSION_ID",
        "REDIAL_ATTEMPT", "COMMENT", "RECORD_DURATION", "CALL_STATUS", "INCOMING",
    }
)  # fmt: skip


def statistic_row(row: Statistic) -> dict[str, Any]:
    """A finished call as the method returns it: all scalars are strings, except RECORD_FILE_ID."""
    return {
        "ID": str(row.id),
        "PORTAL_USER_ID": str(row.user_id),
        "PORTAL_NUMBER": row.portal_number,
        "PHONE_NUMBER": row.phone,
        "CALL_ID": row.call_id,
        "EXTERNAL_CALL_ID": row.external_id,
        "CALL_CATEGORY": "external",
        "CALL_LOG": None,
        "CALL_DURATION": str(row.duration),
        "CALL_START_DATE": clock.format_iso(row.start),
        "CALL_RECORD_URL": row.record_url,
        "CALL_VOTE": str(row.vote),
        "COST": f"{row.cost:.4f}",
        "COST_CURRENCY": row.cost_currency,
        "CALL_FAILED_CODE": row.failed_code,
        "CALL_FAILED_REASON": row.failed_reason,
        "CRM_ENTITY_TYPE": type_name(row.primary[0]) if row.primary else None,
        "CRM_ENTITY_ID": str(row.primary[1]) if row.primary else None,
        "CRM_ACTIVITY_ID": str(row.activity_id) if row.activity_id else None,
        "REST_APP_ID": str(row.app_id),
        "REST_APP_NAME": row.app_name,
        "TRANSCRIPT_ID": str(row.transcript_id) if row.transcript_id else None,
        "TRANSCRIPT_PENDING": "N",
        "SESSION_ID": None,
        "REDIAL_ATTEMPT": None,
        "COMMENT": None,
        "RECORD_DURATION": None,
        "RECORD_FILE_ID": row.file_id,
        "CALL_TYPE": str(row.type),
    }


def clean_filter(context: CommandContext, given: Any) -> dict[str, Any]:
    """The filter without the keys that the portal ignores. Each ignored key becomes a violation."""
    accepted: dict[str, Any] = {}
    for key, value in upper_keys(given).items() if isinstance(given, dict) else ():
        prefix, name = filters.split_key(key)
        if name in FILTER_FIELDS and prefix in FILTER_PREFIXES:
            accepted[f"{prefix}{'CALL_TYPE' if name == 'INCOMING' else name}"] = value
        elif name == "LOGIC" or (isinstance(value, dict) and not name):
            accepted[key] = value
        else:
            context.portal.add_violation("voximplant.statistic.get", f"unknown key in FILTER: {key}")
    return accepted


def _candidate_rows(context: CommandContext, wanted: dict[str, Any]) -> list[Statistic]:
    """The rows that may match: by index if the filter names a call, else all rows."""
    portal = context.portal
    call_id = wanted.get("CALL_ID", wanted.get("=CALL_ID"))
    external = wanted.get("EXTERNAL_CALL_ID", wanted.get("=EXTERNAL_CALL_ID"))
    if isinstance(external, str) and external:
        return portal.by_external.get(external, [])
    if isinstance(call_id, str):
        # Two finishes at the same time leave two rows of one call, but `by_call` has only one of them.
        rows = portal.statistics.values() if call_id in portal.by_call else ()
        return [row for row in rows if row.call_id == call_id]
    return list(portal.statistics.values())


@rest_method("voximplant.statistic.get", "telephony", upper=True)
def get_statistics(context: CommandContext, params: dict[str, Any]) -> ListPage:
    given = upper_keys(params)
    if not context.user.rights.get("statistics", True):
        raise access_denied()
    wanted = clean_filter(context, given.get("FILTER"))
    rows = [statistic_row(row) for row in _candidate_rows(context, wanted)]
    rows = [shown for shown in rows if filters.matches_filter(shown, wanted)]
    sort, order = given.get("SORT"), given.get("ORDER")
    if isinstance(sort, str) and sort in FILTER_FIELDS and order in ("ASC", "DESC"):
        rows = filters.sort_rows(rows, {sort: order})
    return filters.make_page(rows, given.get("START"))
