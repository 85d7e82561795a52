"""What an application asks about itself: app.*, scope, methods, events, bindings, placements, options."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.events import EVENTS
from bx24app.sandbox.bitrix.registry import METHODS, CommandContext, RestError, access_denied, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import EventBinding, Placement
from bx24app.sandbox.clock import format_iso

PLACEMENT_SCOPES = {
    "CALL_CARD": "telephony",
    "TELEPHONY_ANALYTICS_MENU": "telephony",
    "PAGE_BACKGROUND_WORKER": "",
    "LEFT_MENU": "",
    "USER_PROFILE_MENU": "",
    "REST_APP_URI": "",
    **{
        f"CRM_{kind}_{bind_placement}": "crm"
        for kind in ("LEAD", "DEAL", "CONTACT", "COMPANY", "DYNAMIC_1038")
        for bind_placement in ("DETAIL_TAB", "DETAIL_TOOLBAR", "DETAIL_ACTIVITY", "LIST_MENU", "ACTIVITY_TIMELINE_MENU")
    },
}
MAX_HANDLERS = {"PAGE_BACKGROUND_WORKER": 1, "REST_APP_URI": 1}


@rest_method("app.info", "")
def get_app_info(hit: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    license_type = hit.portal.license.partition("_")[2]
    return {
        "ID": str(hit.app.id),
        "CODE": hit.app.app.code,
        "VERSION": str(hit.app.version),
        "STATUS": hit.app.status,
        "INSTALLED": hit.app.installed,
        "PAYMENT_EXPIRED": "N",
        "DAYS": None,
        "LANGUAGE_ID": hit.portal.lang,
        "LICENSE": hit.portal.license,
        "LICENSE_TYPE": license_type,
        "LICENSE_FAMILY": license_type,
    }


@rest_method("app.option.get", "")
def get_app_option(hit: CommandContext, params: dict[str, Any]) -> Any:
    name = params.get("option")
    return hit.app.options.get(str(name)) if name is not None else (hit.app.options or [])


@rest_method("app.option.set", "")
def set_app_option(hit: CommandContext, params: dict[str, Any]) -> bool:
    if not hit.user.admin:
        raise access_denied("Administrator authorization required")
    if not isinstance(params.get("options"), dict):
        raise RestError("ERROR_ARGUMENT", "Argument 'options' is null or empty", 400, argument="options")
    hit.app.options.update(params["options"])
    return True


@rest_method("user.option.get", "")
def get_user_option(hit: CommandContext, params: dict[str, Any]) -> Any:
    options = hit.app.user_options.get(hit.user.id, {})
    name = params.get("option")
    return options.get(str(name)) if name is not None else (options or [])


@rest_method("user.option.set", "")
def set_user_option(hit: CommandContext, params: dict[str, Any]) -> bool:
    if not isinstance(params.get("options"), dict):
        raise RestError("ERROR_ARGUMENT", "Argument 'options' is null or empty", 400, argument="options")
    hit.app.user_options.setdefault(hit.user.id, {}).update(params["options"])
    return True


@rest_method("scope", "")
def list_scopes(hit: CommandContext, params: dict[str, Any]) -> list[str]:
    if php.is_true(params.get("full")):
        return sorted({one for found in METHODS.values() for one in found.scope.split("|") if one})
    return list(hit.app.scopes)


@rest_method("method.get", "")
def method_get(hit: CommandContext, params: dict[str, Any]) -> dict[str, bool]:
    found = METHODS.get(str(params.get("name") or "").lower())
    available = found is not None and (not found.scope or any(one in hit.app.scopes for one in found.scope.split("|")))
    return {"isExisting": found is not None, "isAvailable": available}


@rest_method("methods", "")
def list_methods(hit: CommandContext, params: dict[str, Any]) -> list[str]:
    wanted = params.get("scope")
    return [
        found.name.lower()
        for found in METHODS.values()
        if (
            wanted in found.scope.split("|") if wanted else any(one in hit.app.scopes for one in found.scope.split("|"))
        )
    ]


@rest_method("events", "")
def list_events(hit: CommandContext, params: dict[str, Any]) -> list[str]:
    return list(EVENTS)


@rest_method("server.time", "")
def server_time(hit: CommandContext, params: dict[str, Any]) -> str:
    return format_iso(hit.portal.now())


@rest_method("feature.get", "")
def get_feature(hit: CommandContext, params: dict[str, Any]) -> dict[str, str]:
    return {"value": "Y" if params.get("CODE") == "rest_auth_connector" else "N"}


def _check_handler(given: dict[str, Any], empty: str, wrong: str) -> str:
    handler = str(given.get("HANDLER") or "")
    if not handler:
        raise RestError(empty, "Handler URL is not set", 400)
    parts = urlsplit(handler)
    if parts.scheme not in ("http", "https"):
        raise RestError("ERROR_UNSUPPORTED_PROTOCOL", f"Unsupported event handler protocol: {parts.scheme}", 400)
    if "." not in (parts.hostname or ""):
        raise RestError(wrong, "Wrong handler URL", 400)
    return handler


@rest_method("event.bind", "", upper=True)
def bind_event(hit: CommandContext, params: dict[str, Any]) -> bool:
    given = upper_keys(params)
    event = str(given.get("EVENT") or "").upper()
    if not event:
        raise RestError("ERROR_ARGUMENT", "Argument 'EVENT' is null or empty", 400, argument="EVENT")
    if event not in EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found", 400)
    handler = _check_handler(given, "ERROR_ARGUMENT", "ERROR_WRONG_HANDLER_URL")
    auth_type = php.to_int(given.get("AUTH_TYPE"))
    if not hit.user.admin and auth_type not in (0, hit.user.id):
        raise access_denied("Access denied! Application administrator is required")
    portal = hit.portal
    for one in portal.event_bindings.values():
        if (one.app_id, one.event, one.handler, one.auth_type) == (hit.app.id, event, handler, auth_type):
            raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded", 400)
    made = EventBinding(portal.next_id("binding", 1055), hit.app.id, event, handler, auth_type)
    portal.event_bindings[made.id] = made
    return True


@rest_method("event.get", "")
def list_event_bindings(hit: CommandContext, params: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"event": one.event, "handler": one.handler, "auth_type": str(one.auth_type), "offline": 0}
        for one in hit.portal.event_bindings.values()
        if one.app_id == hit.app.id and (hit.user.admin or one.auth_type == hit.user.id)
    ]


@rest_method("event.unbind", "", upper=True)
def unbind_event(hit: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    given = upper_keys(params)
    event, handler = str(given.get("EVENT") or "").upper(), given.get("HANDLER")
    gone = [
        key
        for key, one in hit.portal.event_bindings.items()
        if one.app_id == hit.app.id and one.event == event and handler in (None, one.handler)
    ]
    for key in gone:
        del hit.portal.event_bindings[key]
    return {"count": len(gone)}


@rest_method("placement.bind", "placement", upper=True)
def bind_placement(hit: CommandContext, params: dict[str, Any]) -> bool:
    given = upper_keys(params)
    if not hit.user.admin:
        raise access_denied("Access denied! Application administrator is required")
    name = str(given.get("PLACEMENT") or "").upper()
    if name not in PLACEMENT_SCOPES or (PLACEMENT_SCOPES[name] and PLACEMENT_SCOPES[name] not in hit.app.scopes):
        raise RestError("ERROR_PLACEMENT_NOT_FOUND", "Placement not found", 400)
    handler = _check_handler(given, "EMPTY_ERROR_HANDLER_URL", "ERROR_WRONG_HANDLER_URL")
    user_id = php.to_int(given.get("USER_ID"))
    mine = [one for one in hit.portal.placements if one.app_id == hit.app.id and one.placement == name]
    if any(one.handler == handler and one.user_id == user_id for one in mine):
        raise RestError("ERROR_CORE", "Unable to set placement handler: Handler already binded", 400)
    if len(mine) >= MAX_HANDLERS.get(name, 1000):
        raise RestError("ERROR_PLACEMENT_MAX_COUNT", "Placement max count", 400)
    options, lang_all = given.get("OPTIONS"), given.get("LANG_ALL")
    hit.portal.placements.append(Placement(
        hit.app.id, name, handler, str(given.get("TITLE") or ""), str(given.get("DESCRIPTION") or ""), user_id,
        options if isinstance(options, dict) else {}, lang_all if isinstance(lang_all, dict) else {},
    ))  # fmt: skip
    hit.portal.notify_watchers("placement", placement=name)
    return True


@rest_method("placement.unbind", "placement", upper=True)
def unbind_placement(hit: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    given = upper_keys(params)
    name, handler = str(given.get("PLACEMENT") or "").upper(), given.get("HANDLER")
    gone = [
        one
        for one in hit.portal.placements
        if one.app_id == hit.app.id and one.placement == name and handler in (None, one.handler)
    ]
    hit.portal.placements = [one for one in hit.portal.placements if one not in gone]
    return {"count": len(gone)}


@rest_method("placement.get", "placement")
def list_bound_placements(hit: CommandContext, params: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "placement": one.placement, "userId": one.user_id, "handler": one.handler, "options": one.options or [],
            "title": one.title, "description": one.description, "langAll": one.lang_all or [],
        }
        for one in hit.portal.placements
        if one.app_id == hit.app.id
    ]  # fmt: skip


@rest_method("placement.list", "placement")
def list_placements(hit: CommandContext, params: dict[str, Any]) -> list[str]:
    wanted = upper_keys(params).get("SCOPE")
    return [
        name for name, scope in PLACEMENT_SCOPES.items() if (scope in hit.app.scopes or not scope) and wanted in (None, scope)
    ]
