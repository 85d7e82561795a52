"""The page that explains why a portal's own address keeps the app from opening: which names differ, what to do."""

from __future__ import annotations

from flask import Response

from bx24app.domain.host_names import readable_host
from bx24app.infra.logs import get_logger
from bx24app.portals.opening_addresses import AddressProblem
from bx24app.web.base import errors, headers

_log = get_logger(__name__)


def render_address_problem(problem: AddressProblem) -> Response:
    """The page for whoever may be an administrator of that portal; the host that the browser names may show it."""
    _log.warning("opening refused", problem=problem.kind, registered=problem.registered, opened=problem.opened)
    headers.allow_posted_domain()
    addresses = [_readable(address) for address in (problem.registered, problem.opened)]
    return errors.render_error(problem.kind, 403, addresses=addresses)


def _readable(address: str) -> str:
    scheme, separator, host = address.partition("://")
    return scheme + separator + readable_host(host)
