"""The methods that concern the application itself.

They are app.*, user.option.*, scope, method.get, methods, events, event.*, placement.*, server.time and feature.get.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.events import EVENTS
from bx24app.sandbox.bitrix.registry import (
    METHODS,
    CommandContext,
    RestError,
    RestMethod,
    access_denied,
    rest_method,
    upper_keys,
)
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
def get_app_info(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    license_type = context.portal.license.rpartition("_")[2]
    info: dict[str, Any] = {
        "ID": context.app.id,
        "CODE": context.app.app.code,
        "VERSION": context.app.version,
        "STATUS": context.app.status,
        "INSTALLED": context.app.installed,
        "PAYMENT_EXPIRED": "N",
        "DAYS": None,
        "LANGUAGE_ID": context.portal.lang,
        "LICENSE": context.portal.license,
    }
    if license_type != "selfhosted":  # S: only where the module `bitrix24` is, which is the cloud
        info |= {"LICENSE_TYPE": license_type, "LICENSE_FAMILY": license_type.rstrip("0123456789")}
    return info


@rest_method("app.option.get", "")
def get_app_option(context: CommandContext, params: dict[str, Any]) -> Any:
    name = params.get("option")
    return context.app.options.get(str(name)) if name is not None else (context.app.options or [])


@rest_method("app.option.set", "")
def set_app_option(context: CommandContext, params: dict[str, Any]) -> bool:
    if not context.user.admin:
        raise access_denied("Administrator authorization required")
    if not isinstance(params.get("options"), dict):
        raise RestError("ERROR_ARGUMENT", "Argument 'options' is null or empty", 400, argument="options")
    context.app.options.update(params["options"])
    return True


@rest_method("user.option.get", "")
def get_user_option(context: CommandContext, params: dict[str, Any]) -> Any:
    options = context.app.user_options.get(context.user.id, {})
    name = params.get("option")
    return options.get(str(name)) if name is not None else (options or [])


@rest_method("user.option.set", "")
def set_user_option(context: CommandContext, params: dict[str, Any]) -> bool:
    if not isinstance(params.get("options"), dict):
        raise RestError("ERROR_ARGUMENT", "Argument 'options' is null or empty", 400, argument="options")
    context.app.user_options.setdefault(context.user.id, {}).update(params["options"])
    return True


@rest_method("scope", "")
def list_scopes(context: CommandContext, params: dict[str, Any]) -> list[str]:
    if php.is_true(params.get("full")):
        return sorted({scope for method in METHODS.values() for scope in method.scope.split("|") if scope})
    return list(context.app.scopes)


@rest_method("method.get", "")
def method_get(context: CommandContext, params: dict[str, Any]) -> dict[str, bool]:
    method = METHODS.get(str(params.get("name") or "").lower())
    available = method is not None and (not method.scope or _has_scope(context, method))
    return {"isExisting": method is not None, "isAvailable": available}


def _has_scope(context: CommandContext, method: RestMethod) -> bool:
    return any(scope in context.app.scopes for scope in method.scope.split("|"))


@rest_method("methods", "")
def list_methods(context: CommandContext, params: dict[str, Any]) -> list[str]:
    wanted = params.get("scope")
    return [
        method.name.lower()
        for method in METHODS.values()
        if (wanted in method.scope.split("|") if wanted else _has_scope(context, method))
    ]


@rest_method("events", "")
def list_events(context: CommandContext, params: dict[str, Any]) -> list[str]:
    return list(EVENTS)


@rest_method("server.time", "")
def server_time(context: CommandContext, params: dict[str, Any]) -> str:
    return format_iso(context.portal.now())


@rest_method("feature.get", "")
def get_feature(context: CommandContext, params: dict[str, Any]) -> dict[str, str]:
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
def bind_event(context: CommandContext, params: dict[str, Any]) -> bool:
    given = upper_keys(params)
    event = str(given.get("EVENT") or "").upper()
    if not event:
        raise RestError("ERROR_ARGUMENT", "Argument 'EVENT' is null or empty", 400, argument="EVENT")
    if event not in EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found", 400)
    handler = _check_handler(given, "ERROR_ARGUMENT", "ERROR_WRONG_HANDLER_URL")
    auth_type = php.to_int(given.get("AUTH_TYPE"))
    if not context.user.admin and auth_type not in (0, context.user.id):
        raise access_denied("Access denied! Application administrator is required")
    portal = context.portal
    for binding in portal.event_bindings.values():
        bound = binding.app_id, binding.event, binding.handler, binding.auth_type
        if bound == (context.app.id, event, handler, auth_type):
            raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded", 400)
    binding = EventBinding(portal.next_id("binding", 1055), context.app.id, event, handler, auth_type)
    portal.event_bindings[binding.id] = binding
    return True


@rest_method("event.get", "")
def list_event_bindings(context: CommandContext, params: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"event": binding.event, "handler": binding.handler, "auth_type": str(binding.auth_type), "offline": 0}
        for binding in context.portal.event_bindings.values()
        if binding.app_id == context.app.id and (context.user.admin or binding.auth_type == context.user.id)
    ]


@rest_method("event.unbind", "", upper=True)
def unbind_event(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    given = upper_keys(params)
    event, handler = str(given.get("EVENT") or "").upper(), given.get("HANDLER")
    keys = [
        key
        for key, binding in context.portal.event_bindings.items()
        if binding.app_id == context.app.id and binding.event == event and handler in (None, binding.handler)
    ]
    for key in keys:
        del context.portal.event_bindings[key]
    return {"count": len(keys)}


@rest_method("placement.bind", "placement", upper=True)
def bind_placement(context: CommandContext, params: dict[str, Any]) -> bool:
    given = upper_keys(params)
    if not context.user.admin:
        raise access_denied("Access denied! Application administrator is required")
    name = str(given.get("PLACEMENT") or "").upper()
    if name not in PLACEMENT_SCOPES or (PLACEMENT_SCOPES[name] and PLACEMENT_SCOPES[name] not in context.app.scopes):
        raise RestError("ERROR_PLACEMENT_NOT_FOUND", "Placement not found", 400)
    handler = _check_handler(given, "EMPTY_ERROR_HANDLER_URL", "ERROR_WRONG_HANDLER_URL")
    user_id = php.to_int(given.get("USER_ID"))
    placements = context.portal.placements
    mine = [placement for placement in placements if (placement.app_id, placement.placement) == (context.app.id, name)]
    if any(placement.handler == handler and placement.user_id == user_id for placement in mine):
        raise RestError("ERROR_CORE", "Unable to set placement handler: Handler already binded", 400)
    if len(mine) >= MAX_HANDLERS.get(name, 1000):
        raise RestError("ERROR_PLACEMENT_MAX_COUNT", "Placement max count", 400)
    options, lang_all = given.get("OPTIONS"), given.get("LANG_ALL")
    context.portal.placements.append(Placement(
        context.app.id, name, handler, str(given.get("TITLE") or ""), str(given.get("DESCRIPTION") or ""), user_id,
        options if isinstance(options, dict) else {}, lang_all if isinstance(lang_all, dict) else {},
    ))  # fmt: skip
    context.portal.notify_watchers("placement", placement=name)
    return True


@rest_method("placement.unbind", "placement", upper=True)
def unbind_placement(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    if not context.user.admin:
        raise access_denied("Access denied!")
    given = upper_keys(params)
    name, handler = str(given.get("PLACEMENT") or "").upper(), given.get("HANDLER")
    removed = [
        placement
        for placement in context.portal.placements
        if placement.app_id == context.app.id and placement.placement == name and handler in (None, placement.handler)
    ]
    context.portal.placements = [placement for placement in context.portal.placements if placement not in removed]
    return {"count": len(removed)}


@rest_method("placement.get", "placement")
def list_bound_placements(context: CommandContext, params: dict[str, Any]) -> list[dict[str, Any]]:
    if not context.user.admin:
        raise access_denied("Access denied!")
    return [
        {
            "placement": placement.placement, "userId": placement.user_id, "handler": placement.handler,
            "options": placement.options or [], "title": placement.title, "description": placement.description,
            "langAll": placement.lang_all or [],
        }
        for placement in context.portal.placements
        if placement.app_id == context.app.id
    ]  # fmt: skip


@rest_method("placement.list", "placement")
def list_placements(context: CommandContext, params: dict[str, Any]) -> list[str]:
    wanted = upper_keys(params).get("SCOPE")
    return [
        name
        for name, scope in PLACEMENT_SCOPES.items()
        if (scope in context.app.scopes or not scope) and wanted in (None, scope)
    ]
