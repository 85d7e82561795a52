"""Exceptions -> pages or JSON, once, for all routes. No traceback and no inner word ever leaves; what was unexpected is logged with its own."""

from __future__ import annotations

from flask import Flask, Response, make_response, render_template, request
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra.logs import get_logger
from bx24app.models import db
from bx24app.web.base.guards import NotAdministrator
from bx24app.web.base.session import NoSession

_log = get_logger(__name__)
_MACHINE_PATHS = ("/bitrix24/", "/mango", "/readyz", "/metrics")


def register_handlers(app: Flask) -> None:
    """Hang all handlers on the app."""
    app.register_error_handler(NoSession, _handle_no_session)
    app.register_error_handler(NotAdministrator, _handle_not_administrator)
    app.register_error_handler(HTTPException, _handle_http)
    for silent in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(silent, _handle_database)
    app.register_error_handler(portal_errors.PortalError, _handle_portal)
    app.register_error_handler(Exception, _handle_unexpected)


def render_error(kind: str, status: int, **facts: object) -> Response:
    """One of the error pages (`templates/errors/page.html` says what each `kind` reads); a part of a page where htmx asks, words for machines."""
    if request.path.startswith(_MACHINE_PATHS):
        response = make_response(f"{kind}\n", status)
        response.mimetype = "text/plain"
    else:
        template = "errors/part.html" if request.headers.get("HX-Request") else "errors/page.html"
        response = make_response(render_template(template, kind=kind, **facts), status)
    response.headers["X-Error"] = kind
    if status == 503:
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
    _log.error("the database does not answer", path=request.path, error=type(error).__name__, exc_info=error)
    return render_error("later", 503)


def _handle_portal(error: portal_errors.PortalError) -> Response:
    db.session.rollback()
    _log.warning("the portal cannot be asked", path=request.path, error=str(error))
    if isinstance(error, portal_errors.NeedsAdmin):
        return render_error("portal_refuses", 403, code=error.code)
    return render_error("portal_silent", 503)


def _handle_unexpected(error: Exception) -> Response:
    db.session.rollback()
    _log.error("a page failed", path=request.path, error=type(error).__name__, exc_info=error)
    return render_error("fault", 500)
