"""voximplant.statistic.get: finished calls. S: an unknown filter key is silently ignored, so that everything comes back."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import filters
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, access_denied, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import Statistic, type_name

FILTER_PREFIXES = frozenset({"", "!", "<", "<=", ">", ">=", "><", "!><", "?", "=", "!=", "%", "!%"})
FILTER_FIELDS = frozenset(
    {
        "ID", "CALL_ID", "EXTERNAL_CALL_ID", "CALL_CATEGORY", "PORTAL_USER_ID", "PORTAL_NUMBER", "PHONE_NUMBER", "CALL_TYPE",
        "CALL_DURATION", "CALL_START_DATE", "CALL_LOG", "CALL_RECORD_URL", "CALL_VOTE", "COST", "COST_CURRENCY",
        "CALL_FAILED_CODE", "CALL_FAILED_REASON", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "CRM_ACTIVITY_ID", "REST_APP_ID",
        "REST_APP_NAME", "TRANSCRIPT_ID", "TRANSCRIPT_PENDING", "SESSION_ID", "REDIAL_ATTEMPT", "COMMENT",
        "RECORD_DURATION", "CALL_STATUS", "INCOMING",
    }
)  # fmt: skip


def statistic_row(one: Statistic) -> dict[str, Any]:
    """As the method shows it: all scalars are texts, except RECORD_FILE_ID."""
    return {
        "ID": str(one.id),
        "PORTAL_USER_ID": str(one.user_id),
        "PORTAL_NUMBER": one.portal_number,
        "PHONE_NUMBER": one.phone,
        "CALL_ID": one.call_id,
        "EXTERNAL_CALL_ID": one.external_id,
        "CALL_CATEGORY": "external",
        "CALL_LOG": None,
        "CALL_DURATION": str(one.duration),
        "CALL_START_DATE": clock.format_iso(one.start),
        "CALL_RECORD_URL": one.record_url,
        "CALL_VOTE": str(one.vote),
        "COST": f"{one.cost:.4f}",
        "COST_CURRENCY": one.cost_currency,
        "CALL_FAILED_CODE": one.failed_code,
        "CALL_FAILED_REASON": one.failed_reason,
        "CRM_ENTITY_TYPE": type_name(one.primary[0]) if one.primary else None,
        "CRM_ENTITY_ID": str(one.primary[1]) if one.primary else None,
        "CRM_ACTIVITY_ID": str(one.activity_id) if one.activity_id else None,
        "REST_APP_ID": str(one.app_id),
        "REST_APP_NAME": one.app_name,
        "TRANSCRIPT_ID": str(one.transcript_id) if one.transcript_id else None,
        "TRANSCRIPT_PENDING": "N",
        "SESSION_ID": None,
        "REDIAL_ATTEMPT": None,
        "COMMENT": None,
        "RECORD_DURATION": None,
        "RECORD_FILE_ID": one.file_id,
        "CALL_TYPE": str(one.type),
    }


def clean_filter(hit: CommandContext, given: Any) -> dict[str, Any]:
    """The filter without what the portal ignores; each ignored key becomes a violation."""
    kept: dict[str, Any] = {}
    for key, value in upper_keys(given).items() if isinstance(given, dict) else ():
        prefix, name = filters.split_key(key)
        if name in FILTER_FIELDS and prefix in FILTER_PREFIXES:
            kept[f"{prefix}{'CALL_TYPE' if name == 'INCOMING' else name}"] = value
        elif name == "LOGIC" or (isinstance(value, dict) and not name):
            kept[key] = value
        else:
            hit.portal.add_violation("voximplant.statistic.get", f"unknown key in FILTER: {key}")
    return kept


def _candidate_rows(hit: CommandContext, wanted: dict[str, Any]) -> list[Statistic]:
    """Rows that may match, quickly where a call is asked for by its id."""
    portal = hit.portal
    call_id = wanted.get("CALL_ID", wanted.get("=CALL_ID"))
    external = wanted.get("EXTERNAL_CALL_ID", wanted.get("=EXTERNAL_CALL_ID"))
    if isinstance(external, str) and external:
        return portal.by_external.get(external, [])
    if isinstance(call_id, str):
        # Two finishes at once leave two rows of one call.
        found = portal.statistics.values() if call_id in portal.by_call else ()
        return [one for one in found if one.call_id == call_id]
    return list(portal.statistics.values())


@rest_method("voximplant.statistic.get", "telephony", upper=True)
def get_statistics(hit: CommandContext, params: dict[str, Any]) -> ListPage:
    given = upper_keys(params)
    if not hit.user.rights.get("statistics", True):
        raise access_denied()
    wanted = clean_filter(hit, given.get("FILTER"))
    rows = [statistic_row(one) for one in _candidate_rows(hit, wanted)]
    rows = [shown for shown in rows if filters.matches_filter(shown, wanted)]
    sort, order = given.get("SORT"), given.get("ORDER")
    if isinstance(sort, str) and sort in FILTER_FIELDS and order in ("ASC", "DESC"):
        rows = filters.sort_rows(rows, {sort: order})
    return filters.make_page(rows, given.get("START"))
