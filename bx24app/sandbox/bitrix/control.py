"""The control API at `/sandbox/api/*` of each portal: lets a person or a test act on the portal, in JSON.

`POST /sandbox/api/{action}` calls the function of that name that carries `@control_action`; `GET /sandbox/api/state`
returns the state of the portal. The function names are the addresses, so renaming one changes the API.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bx24app.sandbox.bitrix.clicks import NoLine
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import Application, Record
from bx24app.sandbox.bitrix.work_seconds import CUT_ANSWERS, Durations

Action = Callable[[Portal, dict[str, Any]], Any]
ACTIONS: dict[str, Action] = {}
_SETTINGS = ("lang", "license", "crm_mode", "latency", "outgoing_line", "keep_bytes", "deleted", "secure")
_SWITCHES = ("repeat_leads", "bind_open_deals", "empty_error_codes", "filters_batches", "number_blacklist")


def control_action(function: Action) -> Action:
    """Offers a function as an action of the control API, under its own name."""
    ACTIONS[function.__name__.strip("_")] = function
    return function


def add_routes(portal: Portal, app: web.Application) -> None:
    """Adds the control API to a portal's site."""

    async def run_action(request: web.Request) -> web.StreamResponse:
        action = ACTIONS.get(request.match_info["action"])
        if action is None:
            return _json_response({"error": f"no such action; there are: {', '.join(sorted(ACTIONS))}"}, 404)
        given = await request.json() if request.can_read_body else {}
        try:
            result = action(portal, given)
            return _json_response({"result": await result if inspect.isawaitable(result) else result})
        except (KeyError, TypeError, ValueError, NoLine, PermissionError, RestError) as error:
            return _json_response({"error": f"{type(error).__name__}: {error}"}, 400)

    async def show_state(request: web.Request) -> web.StreamResponse:
        return _json_response(export_state(portal))

    app.router.add_post("/sandbox/api/{action}", run_action)
    app.router.add_get("/sandbox/api/state", show_state)


def _json_response(body: Any, status: int = 200) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, default=to_plain)
    return web.Response(text=text, status=status, content_type="application/json")


def to_plain(value: Any) -> Any:
    """A record, file or other part of the state as JSON can carry it, without file contents and secrets."""
    if isinstance(value, Record):
        return {
            **value.fields, "id": value.id, "typeId": value.type_id, "title": value.title, "phones": value.phones,
            "createdByCall": value.created_by_call,
        }  # fmt: skip
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = {attribute.name: getattr(value, attribute.name) for attribute in dataclasses.fields(value)}
        for name in ("content", "client_secret"):
            shown.pop(name, None)
        return shown
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def export_state(portal: Portal) -> dict[str, Any]:
    """The state of a portal, with the last 200 requests and events."""
    names = (
        "member_id", "host", "tls_host", "lang", "license", "crm_mode", "latency", "outgoing_line", "hits", "users",
        "departments", "categories", "statuses", "types", "leads", "deals", "contacts", "companies", "items",
        "activities", "comments", "notifications", "tasks", "calls", "statistics", "card_history", "lines", "files",
        "event_bindings", "placements", "violations", "switches", "durations",
    )  # fmt: skip
    shown: dict[str, Any] = {name: getattr(portal, name) for name in names}
    shown["cards"] = {user_id: list(cards.values()) for user_id, cards in portal.cards.items() if cards}
    shown["apps"] = list(portal.apps.values())
    shown["request_log"] = list(portal.request_log)[-200:]
    shown["events"] = list(portal.event_sender.posts)[-200:]
    shown["commands"] = dict(portal.commands)
    shown["now"] = portal.now()
    return shown


def _named_application(portal: Portal, given: dict[str, Any]) -> Application:
    """The application with the given `client_id`, else the first of the sandbox."""
    known = portal.oauth.applications
    return known[given["client_id"]] if given.get("client_id") else next(iter(known.values()))


def _parse_owner(given: dict[str, Any]) -> tuple[int, int] | None:
    value = given.get("entity")
    return (int(value[0]), int(value[1])) if value else None


@control_action
def switch(portal: Portal, given: dict[str, Any]) -> Any:
    """{kind, times?, method?, seconds?, skip?, target?}: turns a fault on, with `target: oauth` at the OAuth server."""
    target = portal.oauth.switches if given.pop("target", "") == "oauth" else portal.switches
    return target.switch_on(given.pop("kind"), **given)


@control_action
def clear(portal: Portal, given: dict[str, Any]) -> None:
    """{kind?}: turns faults off, at the portal and at the OAuth server."""
    portal.switches.switch_off(given.get("kind"))
    portal.oauth.switches.switch_off(given.get("kind"))


@control_action
def settings(portal: Portal, given: dict[str, Any]) -> None:
    """{name: value, …}: changes settings and switches of the portal. `limits` is {rate?, threshold?, operating?}."""
    for name, value in given.items():
        if name == "limits":
            for key, number in value.items():
                if key not in ("rate", "threshold", "operating"):
                    raise KeyError(key)
                setattr(portal.limits, key, number)
        elif name in _SETTINGS:
            setattr(portal, name, value)
        elif name in _SWITCHES:
            setattr(portal.switches, name, value)
        else:
            raise KeyError(name)
    portal.notify_watchers("settings", **given)


@control_action
def documented_seconds(portal: Portal, given: dict[str, Any]) -> Any:
    """{scale, cut_after?, cut_answer?, whole?, slower?}: commands take the documentation's seconds; `scale` 0: none.

    `scale` 0.02 is fifty times faster. The window of `operating` follows.
    """
    portal.durations = Durations(**given)
    if portal.durations.cut_answer not in CUT_ANSWERS:
        raise ValueError(f"cut_answer is one of {', '.join(CUT_ANSWERS)}")
    portal.limits.window = 600.0 * (portal.durations.scale or 1.0)
    return portal.durations


@control_action
def click_to_call(portal: Portal, given: dict[str, Any]) -> str:
    return portal.click_to_call(
        int(given["user_id"]), str(given["phone"]), given.get("line"), bool(given.get("mobile")), _parse_owner(given)
    )


@control_action
def form_callback(portal: Portal, given: dict[str, Any]) -> None:
    text = str(given.get("text") or "")
    portal.form_callback(str(given["phone"]), given.get("line"), text, entity=_parse_owner(given))


@control_action
def open_form(portal: Portal, given: dict[str, Any]) -> Any:
    app = _named_application(portal, given)
    options = given.get("options") or {}
    return portal.open_form(int(given.get("user_id", 1)), app, given.get("placement", "DEFAULT"), options)


@control_action
def finish_install(portal: Portal, given: dict[str, Any]) -> None:
    portal.finish_install(_named_application(portal, given))


@control_action
def uninstall(portal: Portal, given: dict[str, Any]) -> None:
    portal.uninstall(_named_application(portal, given), clean=bool(given.get("clean")))


@control_action
def update_version(portal: Portal, given: dict[str, Any]) -> None:
    portal.update_version(_named_application(portal, given), given.get("version"))


@control_action
def add_user(portal: Portal, given: dict[str, Any]) -> Any:
    return portal.add_user(int(given.pop("id")), **given)


@control_action
def dismiss(portal: Portal, given: dict[str, Any]) -> None:
    portal.dismiss(int(given["user_id"]))


@control_action
def add_contact(portal: Portal, given: dict[str, Any]) -> int:
    return portal.add_contact(str(given["name"]), *given.get("phones", []), assigned=int(given.get("assigned", 1))).id


@control_action
def add_lead(portal: Portal, given: dict[str, Any]) -> int:
    return portal.add_lead(str(given["title"]), *given.get("phones", []), assigned=int(given.get("assigned", 1))).id


@control_action
def timeline(portal: Portal, given: dict[str, Any]) -> list[dict[str, Any]]:
    return portal.timeline(int(given["type_id"]), int(given["id"]))


@control_action
def expire_tokens(portal: Portal, given: dict[str, Any]) -> None:
    portal.oauth.expire_tokens(portal)


@control_action
def revoke_tokens(portal: Portal, given: dict[str, Any]) -> None:
    portal.oauth.revoke_tokens(portal)


@control_action
def scopes(portal: Portal, given: dict[str, Any]) -> list[str]:
    """{scopes: [...], client_id?}: replaces the scopes of the application."""
    installation = portal.apps[_named_application(portal, given).client_id]
    installation.scopes = [str(scope) for scope in given["scopes"]]
    return installation.scopes


@control_action
def rights(portal: Portal, given: dict[str, Any]) -> None:
    """{user_id, crm?, others?, statistics?, lines?, admin?}: changes the rights of a user.

    With `others: false` a user reads only their own records.
    """
    user = portal.users[int(given.pop("user_id"))]
    if "admin" in given:
        user.admin = bool(given.pop("admin"))
    user.rights.update({str(name): bool(value) for name, value in given.items()})


@control_action
def move(portal: Portal, given: dict[str, Any]) -> Any:
    """Moves the portal to a new domain. The old domain answers 302."""
    if portal.mover is None:
        raise ValueError("the portal does not run")
    return portal.mover()


@control_action
def advance(portal: Portal, given: dict[str, Any]) -> float:
    """{seconds}: moves the clock of the whole sandbox forward."""
    portal.clock.advance(float(given["seconds"]))
    return portal.now()
