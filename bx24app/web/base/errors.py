"""Turns exceptions into error pages or plain text, for all routes.

No traceback leaves the server; unexpected exceptions are logged.
"""

from __future__ import annotations

from flask import Flask, Response, make_response, render_template, request
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra.encryption import UndecryptableSecret
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import db
from bx24app.web.base import retry_form, session
from bx24app.web.base.guards import NotAdministrator
from bx24app.web.base.session import NoSession

_log = get_logger(__name__)
_LATER_STATUSES = (429, 503)
"""Their pages ask for themselves again."""
_MACHINE_PATHS = ("/bitrix24/", "/mango", "/readyz", "/metrics")


def register_handlers(app: Flask) -> None:
    """Register all error handlers."""
    app.register_error_handler(NoSession, _handle_no_session)
    app.register_error_handler(NotAdministrator, _handle_not_administrator)
    app.register_error_handler(HTTPException, _handle_http)
    for unavailable in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(unavailable, _handle_database)
    app.register_error_handler(portal_errors.PortalError, _handle_portal)
    app.register_error_handler(UndecryptableSecret, _handle_undecryptable)
    app.register_error_handler(Exception, _handle_unexpected)


def render_error(kind: str, status: int, **values: object) -> Response:
    """One of the error pages; `templates/errors/words.html` has the text of each `kind`.

    For htmx a part of a page, for machines plain text.
    """
    if request.path.startswith(_MACHINE_PATHS):
        response = make_response(f"{kind}\n", status)
        response.mimetype = "text/plain"
    else:
        is_part = "HX-Request" in request.headers
        if status in _LATER_STATUSES and not is_part and session.HEADER not in request.headers:
            values["again"] = retry_form.build_retry_form()
        template = "errors/part.html" if is_part else "errors/page.html"
        response = make_response(render_template(template, kind=kind, **values), status)
    response.headers["X-Error"] = kind
    if status in _LATER_STATUSES:
        response.headers["Retry-After"] = "10"
    return response


def _handle_no_session(error: NoSession) -> Response:
    return render_error("session", 401)


def _handle_not_administrator(error: NotAdministrator) -> Response:
    return render_error("administrator", 403)


def _handle_http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        return Response(status=status) if error.response is None else make_response(error.get_response())
    kinds = {404: "missing", 405: "missing", 413: "large", 503: "later"}
    return render_error(kinds.get(status, "request" if status < 500 else "fault"), status)


def _handle_database(error: SQLAlchemyError) -> Response:
    db.session.rollback()
    _log.error("database not available", path=request.path, error=type(error).__name__, exc_info=error)
    return render_error("later", 503)


def _handle_undecryptable(error: UndecryptableSecret) -> Response:
    """Only pages that need the secret itself come here; only the operator can help."""
    db.session.rollback()
    _log.error("a stored secret cannot be decrypted", path=request.path)
    return render_error("secret", 503 if request.path.startswith(_MACHINE_PATHS) else 500)


def _handle_portal(error: portal_errors.PortalError) -> Response:
    db.session.rollback()
    _log.warning("portal request failed", path=request.path, error=str(error))
    return render_portal_error(error)


def render_portal_error(error: portal_errors.PortalError) -> Response:
    """The page of a portal, or authorisation server, that refuses or does not answer."""
    if isinstance(error, portal_errors.NeedsAdmin):
        return render_error("portal_refuses", 403, code=error.code)
    if isinstance(error, portal_errors.Gone):
        return render_error("removed", 403)
    if isinstance(error, portal_errors.Later) and error.cause:
        return render_error(error.cause, 503, server=runtime().config.oauth_servers[0].partition("://")[2])
    return render_error("portal_silent", 503)


def _handle_unexpected(error: Exception) -> Response:
    db.session.rollback()
    _log.error("page failed", path=request.path, error=type(error).__name__, exc_info=error)
    return render_error("fault", 500)
