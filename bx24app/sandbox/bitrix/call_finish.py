"""The end of a call: its statistics row, its CRM activity and the table of missed calls.

S: voximplant/lib/rest/helper.php, vi_crm_helper.php. The method telephony.externalCall.finish calls `finish_call`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bx24app.sandbox.bitrix import calls, crm_create
from bx24app.sandbox.bitrix.activities import store_activity
from bx24app.sandbox.bitrix.state import CALL_PROVIDER, Activity, LiveCall, Owner, Statistic

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

NO_ENTITY = "Could not find associated crm entity for the current call"


def finish_call(portal: Portal, call: LiveCall, row: Statistic) -> str | None:
    """Turns a live call into a statistics row and an activity. Returns why there is no activity, or None.

    As in a real portal there is no lock: a second finish that read the call before its removal repeats everything.
    """
    calls.hide_card(portal, call.call_id, [row.user_id], "finish")
    for type_id, number in call.created:
        record = portal.crm.get_record(type_id, number)
        if record and record.fields.get("assignedById") != row.user_id:
            crm_create.reassign_record(portal, record, row.user_id)
    row.primary, row.created = call.primary, list(call.created)
    problem = _attach_activity(portal, call, row)
    portal.statistics[row.id] = row
    portal.by_call[row.call_id] = row
    if row.external_id:
        portal.by_external[row.external_id].append(row)
    _update_missed(portal, row)
    calls.remove_call(portal, call)
    portal.notify_watchers("call", call_id=call.call_id, state="finished", missed=row.missed)
    return problem


def _update_missed(portal: Portal, row: Statistic) -> None:
    """Updates the missed calls: an incoming call with 304 is added, a later successful outgoing call clears them."""
    row.missed = row.failed_code == "304" and row.type in (calls.INCOMING, calls.REDIRECTED)
    if row.failed_code == "200" and row.type == calls.OUTGOING:
        for other in portal.missed_calls.pop(row.phone, []):
            other.called_back_by = row.id
    elif row.missed:
        portal.missed_calls[row.phone].append(row)


def _attach_activity(portal: Portal, call: LiveCall, row: Statistic) -> str | None:
    planned = portal.activities.get(call.activity_id or 0)
    talked = row.type == calls.OUTGOING and row.duration > 0 and row.failed_code == "200"
    if planned and talked and not planned.completed and not planned.origin_id:
        planned.completed, planned.origin_id = True, f"VI_{call.call_id}"
        portal.by_origin[planned.origin_id] = planned
        row.activity_id = planned.id
        return None
    if call.internal:
        return NO_ENTITY
    # Records with this number that were created between register and finish count too.
    bindings = call.bindings or calls.with_deals(portal, calls.find_clients(portal, row.phone)[:1])
    if not bindings:
        return NO_ENTITY
    activity = _make_activity(portal, row, bindings)
    store_activity(portal, activity)
    row.activity_id = activity.id
    return None


def _make_activity(portal: Portal, row: Statistic, bindings: list[Owner]) -> Activity:
    incoming = row.type in (calls.INCOMING, calls.REDIRECTED)
    missed = row.failed_code == "304" and row.type in (calls.INCOMING, calls.CALLBACK)
    word = "Входящий" if incoming else "Обратный" if row.type == calls.CALLBACK else "Исходящий"
    activity = Activity(
        portal.next_id("activity", 7001), 2, CALL_PROVIDER, "CALLBACK" if row.type == calls.CALLBACK else "CALL",
        f"{word} звонок: {row.phone}", row.user_id, row.user_id, row.start, list(bindings),
        direction=1 if incoming else 2, completed=not missed, start_time=row.start,
        end_time=row.start + row.duration, deadline=row.start + row.duration, origin_id=f"VI_{row.call_id}",
        settings={"MISSED_CALL": True} if missed else {},
        result_stream=("incoming" if incoming else "outgoing") if row.failed_code == "200" else "missing",
    )  # fmt: skip
    owner = bindings[0]
    communication = {"TYPE": "PHONE", "VALUE": row.phone, "ENTITY_ID": owner[1], "ENTITY_TYPE_ID": owner[0]}
    activity.communications.append(communication)
    return activity
