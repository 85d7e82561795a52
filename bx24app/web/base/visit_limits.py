"""Limits how often an address, and all strangers together, may open pages that make us ask an authorisation server.

Everybody may send an opening, a tab, an event or an authorisation; only the server that issued a token knows whether it
is one. An address whose openings are refused again and again is not believed for the rest of the minute. Addresses that
never proved anything share one limit. Registered by `init_app` before the guards.
"""

from __future__ import annotations

from typing import Any, Final

import redis
from flask import Response, g, request

from bx24app.infra import rate_limit
from bx24app.infra.clock import utcnow
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.web.base import errors, headers

_log = get_logger(__name__)

LIMITED: Final = frozenset({"app_frame", "placements", "oauth", "bitrix24_events"})
"""Blueprints whose routes ask before they know who asks."""
VISITS_PER_ADDRESS: Final = 300
"""In ten seconds: an office behind one address, whose phones all ring at once."""
VISITS_OF_STRANGERS: Final = 100
"""In ten seconds, of all addresses together that have proven nothing within a day."""
REFUSALS_PER_ADDRESS: Final = 60
"""In a minute."""
_PROVEN_SECONDS: Final = 86400
_REFUSED: Final = frozenset({"session", "not_authorised"})


def check_visit() -> Response | None:
    """The answer to a visit beyond a limit; None: go on."""
    if not _is_limited():
        return None
    address = request.remote_addr or ""
    refusals, is_proven = _read_history(address)
    limits = {f"visits:address:{address}": VISITS_PER_ADDRESS}
    if not is_proven:
        limits["visits:strangers"] = VISITS_OF_STRANGERS
    if refusals < REFUSALS_PER_ADDRESS and not rate_limit.exceeds_limits(limits):
        return None
    _log.warning("too many openings", address=address, refusals=refusals)
    g.lang = request.args.get("LANG") or "ru"
    headers.allow_posted_domain()
    return errors.render_error("busy", 429)


def record_visit(response: Response) -> Response:
    """Remember what became of a visit; runs after every request."""
    if _is_limited() and request.blueprint != "bitrix24_events":  # portals share the addresses of their events
        address = request.remote_addr or ""
        if response.headers.get("X-Error") in _REFUSED:
            _write_history(lambda pipe: (pipe.incr(_refusals_key(address)), pipe.expire(_refusals_key(address), 120)))
        elif response.status_code == 200 and request.method == "POST":
            _write_history(lambda pipe: pipe.set(_proven_key(address), b"1", ex=_PROVEN_SECONDS))
    return response


def _is_limited() -> bool:
    return request.blueprint in LIMITED and (request.method == "POST" or "code" in request.args)


def _refusals_key(address: str) -> str:
    return f"refusals:{address}:{int(utcnow().timestamp()) // 60}"


def _proven_key(address: str) -> str:
    return f"proven:{address}"


def _read_history(address: str) -> tuple[int, bool]:
    """How many openings of this address were refused in this minute, and whether one was proven within a day."""
    try:
        pipe = runtime().redis.pipeline(transaction=False)
        pipe.get(_refusals_key(address))
        pipe.exists(_proven_key(address))
        refusals, is_proven = pipe.execute()
    except redis.RedisError:
        return 0, True
    return int(refusals or 0), bool(is_proven)


def _write_history(add_commands: Any) -> None:
    try:
        pipe = runtime().redis.pipeline(transaction=False)
        add_commands(pipe)
        pipe.execute()
    except redis.RedisError:
        return  # the limits of this process remain
