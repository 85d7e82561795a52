"""Writes docs/openapi.yaml: every HTTP route, read from the app itself, with the fields and statuses that the tables
below name.

Usage: python -m scripts.openapi   (tests/security/test_openapi.py fails when the file is out of date)
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from cryptography.fernet import Fernet
from flask import Flask
from werkzeug.routing import AnyConverter, IntegerConverter, Rule

from bx24app import create_app
from bx24app.config import load
from bx24app.web import ROUTE_TABLE
from bx24app.web.base.guards import (
    Guard,
    open_to_all,
    require_frame_admin,
    require_frame_session,
    require_placement_session,
)

PATH = Path(__file__).resolve().parents[1] / "docs" / "openapi.yaml"
ABOUT = (
    "Every HTTP route. Routes that Bitrix24 and PBXs call are open to all and verify their caller themselves. "
    "Routes below /frame and /place/calls are called by the application's own pages with the header "
    "X-Frame-Session and answer HTML."
)
SCHEMES = {
    "frame": "A signed claim of portal, user and right, valid for five minutes; comes with a page.",
    "place": "The same for a tab: portal, user, and what the portal lets them read.",
}
SECURITY: dict[Guard, str] = {
    require_frame_session: "frame",
    require_frame_admin: "frame",
    require_placement_session: "place",
}
STATUSES = {
    200: "Done, or shown", 206: "A part of the file", 302: "To the portal's own page", 400: "Malformed request",
    401: "No session, ticket or proof, or it has expired", 403: "Not allowed", 404: "Not found in this portal",
    409: "Someone else saved meanwhile", 413: "Too large", 422: "Faults, each at its field", 429: "Too many requests",
    503: "Try again after Retry-After seconds",
}  # fmt: skip
_FILTER = "q pbx line direction outcome employee since until problems"
_OPENING = "DOMAIN LANG APP_SID PROTOCOL"
QUERIES = {
    "app_frame.show_about": "code state domain", "app_frame.open_app": _OPENING, "app_frame.open_install": _OPENING,
    "placements": _OPENING,
    "oauth.start_authorisation": "ticket", "oauth.callback": "code state domain server_domain member_id",
    "mango_hooks": "pbx event",
    "downloads.stream_recording": "ticket", "downloads.download_employees": "ticket",
    "downloads.download_journal": f"ticket {_FILTER}", "calls": f"{_FILTER} below", "placement_calls": "below",
    "undelivered": "below", "history": "before with",
    "statistics": "period since until by pbx", "app_frame.show_privacy": "lang",
}  # fmt: skip
"""Endpoint, or its blueprint -> parameters."""
_FRAME = (
    "AUTH_ID REFRESH_ID AUTH_EXPIRES member_id SERVER_ENDPOINT APPLICATION_TOKEN APPLICATION_SCOPE PLACEMENT "
    "PLACEMENT_OPTIONS event"
)
_AUTH = "member_id application_token access_token refresh_token domain server_endpoint"
_RULES = (
    "version rule r0-json r0-open r0-name r0-do r0-direction r0-a0-kind r0-a0-target r0-a0-title "
    "token op preset call last"
)
FORMS = {
    "app_frame": _FRAME, "placements": _FRAME,
    "bitrix24_events": "event ts data[PHONE_NUMBER] data[CALL_ID] "
    + " ".join(f"auth[{name}]" for name in _AUTH.split()),
    "pbxs": "version name key dialects api_key api_salt default_user_id confirm shown",
    "policy": "version answered missed outgoing transfer_responsible card hidden_number internal_calls attach "
    "min_seconds timezone default_user_id",
    "rules": _RULES,
    "lines": "version confirm line-1-number line-1-used line-1-line_number line-1-users line-1-callback_to "
    "line-1-hours-0-from",
    "backfills": "from to pbx records", "home.choose_preset": "version preset category_id",
    "home.save_responsible": "version line-0-pbx line-0-number line-0-name line-0-users",
    "employees": "version part row-1-extension row-1-user row-1-numbers row-1-recordings",
    "history": "version confirm", "mango_hooks": "vpbx_api_key sign json",
}  # fmt: skip
"""Endpoint, or its blueprint -> fields of the form."""
SHORT = "uuid start_time finish_time duration from to entry_id call_direction call_state line_number record_url event"
MORE = {
    "mango_hooks": [403, 429, 503], "bitrix24_events": [400, 403, 503], "app_frame": [400, 403, 503],
    "placements": [400, 403, 503], "placements.renew_session": [401, 403, 503], "downloads": [206, 401, 503],
    "oauth": [302, 403, 404, 503], "health.check_ready": [503],
}  # fmt: skip
"""Endpoint, or its blueprint -> statuses besides those of the guard."""


def known_of(table: dict[str, Any], endpoint: str) -> Any:
    """Return the table's entry of an endpoint, else that of its blueprint."""
    return table.get(endpoint) or table.get(endpoint.partition(".")[0]) or ""


def path_of(rule: Rule) -> str:
    """Return the address as OpenAPI writes it."""
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)


def document(app: Flask) -> dict[str, Any]:
    """Return the whole description."""
    guards = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    paths: dict[str, Any] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (path_of(rule), rule.endpoint)):
        guard = guards.get(rule.endpoint.partition(".")[0], open_to_all)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path_of(rule), {})[method.lower()] = _operation(app, rule, method, guard)
    header = {"type": "apiKey", "in": "header", "name": "X-Frame-Session"}
    schemes = {name: {**header, "description": text} for name, text in SCHEMES.items()}
    info = {"title": "Mango Office for Bitrix24", "version": "1", "description": ABOUT}
    return {"openapi": "3.0.3", "info": info, "paths": paths, "components": {"securitySchemes": schemes}}


def _operation(app: Flask, rule: Rule, method: str, guard: Guard) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": f"{rule.endpoint}.{method.lower()}", "summary": _summary(app, rule)}
    if guard is not open_to_all:
        operation["security"] = [{SECURITY[guard]: []}]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _schema(rule, name)} for name in sorted(rule.arguments)
    ]
    queries = known_of(QUERIES, rule.endpoint).split()
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in queries]
    if parameters:
        operation["parameters"] = parameters
    if method == "POST":
        operation["requestBody"] = {"content": _body(rule.endpoint)}
    statuses = _statuses(rule, method, guard)
    operation["responses"] = {str(status): {"description": STATUSES[status]} for status in statuses}
    return operation


def _summary(app: Flask, rule: Rule) -> str:
    """The first paragraph of the view's docstring."""
    if "." not in rule.endpoint:
        return "A file below static/."
    return " ".join((app.view_functions[rule.endpoint].__doc__ or "").strip().partition("\n\n")[0].split())


def _schema(rule: Rule, name: str) -> dict[str, Any]:
    converter = rule._converters[name]
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": sorted(converter.items)}
    return {"type": "integer", "minimum": 0} if isinstance(converter, IntegerConverter) else {"type": "string"}


def _body(endpoint: str) -> dict[str, Any]:
    def texts(names: str) -> dict[str, Any]:
        properties = {name: {"type": "string"} for name in names.split()}
        return {"schema": {"type": "object", "properties": properties, "additionalProperties": {"type": "string"}}}

    content = {"application/x-www-form-urlencoded": texts(known_of(FORMS, endpoint))}
    if endpoint == "mango_hooks.receive_notification":
        content["application/json"] = {"schema": {"type": "object", "properties": {name: {} for name in SHORT.split()}}}
    return content


def _statuses(rule: Rule, method: str, guard: Guard) -> list[int]:
    statuses = {200, *(known_of(MORE, rule.endpoint) or ())}
    statuses |= {401} if guard is not open_to_all else set()
    statuses |= {403} if guard is require_frame_admin else set()
    statuses |= {404} if rule.arguments else set()
    statuses |= {413} if method == "POST" else set()
    statuses |= {409, 422} if method == "POST" and guard is require_frame_admin else set()
    return sorted(statuses)


def text(app: Flask) -> str:
    """Return the content of the file."""
    return yaml.safe_dump(document(app), sort_keys=False, allow_unicode=True, width=140)


def main() -> int:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        keys = {"secret_key": "-", "encryption_keys": (Fernet.generate_key().decode(),)}
        app = create_app(load({"BX24APP_DATA_DIR": folder}, redis_url="redis://127.0.0.1:9/0", **keys))
        PATH.write_text(text(app), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
