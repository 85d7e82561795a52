"""The web edge: everything that answers HTTP.

`ROUTE_TABLE` says which blueprints there are, under which prefix, and who may call them.

`create_app` calls `init_app`; nothing below this package knows Flask's requests.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Request
from flask.sessions import SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from bx24app.infra import resources
from bx24app.infra.http_front.admission import ADMISSION
from bx24app.infra.runtime import Runtime
from bx24app.web import statistics
from bx24app.web.base import assets, errors, guards, headers, i18n, page_gates, rendering, visit_limits
from bx24app.web.base.guards import (
    Guard,
    open_to_all,
    require_frame_admin,
    require_frame_session,
    require_placement_session,
)
from bx24app.web.calls import calls, downloads, undelivered
from bx24app.web.launch import app_frame, oauth, placement_calls, placements
from bx24app.web.monitoring import health
from bx24app.web.overview import backfills, home, portal_state
from bx24app.web.pbxs import employee_file, employees, lines, pbxs
from bx24app.web.rules import rules
from bx24app.web.settings import history, policy
from bx24app.web.webhooks import admission, bitrix24_events, mango_hooks

ROUTE_TABLE: tuple[tuple[Blueprint, str, Guard], ...] = (
    (app_frame.blueprint, "", open_to_all),  # proves its caller by the portal's token
    (oauth.blueprint, "/oauth", open_to_all),  # proves its caller by a signed state and the auth server's code
    (bitrix24_events.blueprint, "", open_to_all),  # proves its caller by the application token
    (mango_hooks.blueprint, "/mango", open_to_all),  # proves its caller by hook key and signature
    (health.blueprint, "", open_to_all),
    (assets.blueprint, "/assets", open_to_all),
    (downloads.blueprint, "/media", open_to_all),  # proves its caller by a ticket
    (placements.blueprint, "/place", open_to_all),  # proves its caller by the viewer's own token
    (placement_calls.blueprint, "/place/calls", require_placement_session),
    (home.blueprint, "/frame", require_frame_session),
    (portal_state.blueprint, "/frame/portal", require_frame_admin),
    (calls.blueprint, "/frame/calls", require_frame_session),
    (undelivered.blueprint, "/frame/stuck", require_frame_admin),
    (pbxs.blueprint, "/frame/pbxs", require_frame_admin),
    (lines.blueprint, "/frame/pbxs/<key>/lines", require_frame_admin),
    (employees.blueprint, "/frame/pbxs/<key>/employees", require_frame_admin),
    (employee_file.blueprint, "/frame/pbxs/<key>/employees/file", require_frame_admin),
    (policy.blueprint, "/frame/policy", require_frame_admin),
    (rules.blueprint, "/frame/rules", require_frame_admin),
    (history.blueprint, "/frame/history", require_frame_admin),
    (statistics.blueprint, "/frame/statistics", require_frame_admin),
    (backfills.blueprint, "/frame/backfill", require_frame_admin),
    (oauth.frame_blueprint, "/frame/authorise", require_frame_admin),
)
"""(blueprint, prefix, guard). A blueprint that is not in the table answers 404."""


class NoCookies(SessionInterface):
    """Flask's own sessions are off: no cookie is ever read or set."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def init_app(app: Flask) -> None:
    """Register blueprints, guards, error handlers, headers, languages and template globals."""
    runtime: Runtime = app.extensions["bx24app"]
    if runtime.config.trusted_proxies:
        count = runtime.config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    i18n.init_babel(app, resources.find_folder("translations"))
    app.jinja_env.finalize = i18n.replace_surrogates
    app.jinja_env.globals.update(asset=assets.asset_url, needs_admin_text=rendering.needs_admin_text)
    app.jinja_env.globals.update(probe_seconds=portal_state.probe_seconds)
    by_name: dict[str | None, Guard] = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    by_name[None] = open_to_all  # Flask's own `static`
    app.extensions["bx24app.guards"] = by_name
    app.before_request(page_gates.begin_page)
    app.before_request(visit_limits.check_visit)
    app.before_request(guards.run_guard)
    app.teardown_request(page_gates.end_page)
    app.extensions[ADMISSION] = admission.WebAdmission(app)
    app.after_request(headers.add_headers)
    app.after_request(visit_limits.record_visit)
    errors.register_handlers(app)
    app.url_map.converters |= {"rest": mango_hooks.PathRestConverter}
    app.url_map.converters |= {"int": guards.IdConverter, "default": guards.TextConverter}
    for blueprint, prefix, _ in ROUTE_TABLE:
        app.register_blueprint(blueprint, url_prefix=prefix or None)

