"""Calls that begin in the portal: a click on a number, or a CRM form with a call-back request.

The functions choose the application that owns the line and send it ONEXTERNALCALLSTART or ONEXTERNALCALLBACKSTART.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix import calls
from bx24app.sandbox.bitrix.crm import normalise_phone
from bx24app.sandbox.bitrix.state import InstalledApp, Owner, type_name

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

CLICK_EVENT, CALLBACK_EVENT = "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"


class NoLine(Exception):
    """No application can place the call: none is INSTALLED and bound to the event, or the chosen line is unknown."""


def _find_application(portal: Portal, line: str | None, event: str) -> tuple[InstalledApp, str]:
    """The application that owns a line, and the line's number ("" if the line is the application itself)."""
    apps = {app.id: app for app in portal.apps.values()}
    if line and not line.startswith("REST_APP:"):
        owned = next((known for known in portal.lines.values() if known.number == line), None)
        if owned is None or owned.app_id not in apps:
            raise NoLine(f"no line {line}")
        return apps[owned.app_id], line
    ready = [app for app in apps.values() if portal.event_sender.find_bindings(event, app) and app.installed]
    if line:
        ready = [app for app in ready if f"REST_APP:{app.id}" == line]
    if not ready:
        raise NoLine(f"no installed application is bound to {event}")
    return ready[0], ""


def click_to_call(
    portal: Portal,
    user_id: int,
    phone: str,
    line: str | None,
    mobile: bool,
    entity: Owner | None,
    activity_id: int | None,
) -> str:
    """Registers the call (TYPE 1), opens its card and sends ONEXTERNALCALLSTART to the application that owns the line.

    Raises:
        NoLine: no application can place the call.
    """
    chosen = line if line is not None else portal.user_lines.get(user_id) or portal.outgoing_line or None
    app, number = _find_application(portal, chosen, CLICK_EVENT)
    known_lines = [known for known in portal.lines.values() if known.number == number and known.app_id == app.id]
    order = calls.CallRegistration(
        user_id, phone, 1, line=number or None, should_create=not known_lines or known_lines[0].crm_auto_create == "Y",
        should_show=not mobile, entity=entity, is_click=True, activity_id=activity_id,
    )  # fmt: skip
    call = calls.register_call(portal, app, order)
    data: dict[str, Any] = {
        "PHONE_NUMBER": phone,
        "PHONE_NUMBER_INTERNATIONAL": f"+{normalise_phone(phone)}",
        "EXTENSION": "",
        "USER_ID": user_id,
        "CALL_LIST_ID": 0,
        "LINE_NUMBER": number,
        "IS_MOBILE": int(mobile),
        "CALL_ID": call.call_id,
        "CRM_ENTITY_TYPE": type_name(call.primary[0]) if call.primary else "",
        "CRM_ENTITY_ID": call.primary[1] if call.primary else None,
        "CRM_CREATED_LEAD": next((key for kind, key in call.created if kind == 1), None),
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": type_name(kind), "ENTITY_ID": key} for kind, key in call.created],
    }
    if app.installed:
        portal.event_sender.send_event(CLICK_EVENT, data, user_id, app)
    return call.call_id


def form_callback(portal: Portal, phone: str, line: str | None, text: str, voice: str, entity: Owner | None) -> None:
    """Sends ONEXTERNALCALLBACKSTART. It has no CALL_ID and no user: the portal has not registered a call yet.

    Raises:
        NoLine: no application can place the call.
    """
    app, number = _find_application(portal, line, CALLBACK_EVENT)
    data = {
        "PHONE_NUMBER": phone,
        "TEXT": text,
        "VOICE": voice,
        "CRM_ENTITY_TYPE": type_name(entity[0]) if entity else "",
        "CRM_ENTITY_ID": entity[1] if entity else None,
        "LINE_NUMBER": number,
    }
    if app.installed:
        portal.event_sender.send_event(CALLBACK_EVENT, data, app.installed_by, app)
