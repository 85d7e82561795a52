"""REST clients of portals and the request budgets that they share.

Everything that speaks with a portal takes its client here: the drain, recordings and background jobs on the portal's
grant, pages on the token of the person who opened them. All clients of a portal spend from one request budget in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, current_app
from sqlalchemy import bindparam, select

from bx24app.bitrix24.budget import RequestBudget
from bx24app.bitrix24.client import Bitrix24Client, TokenSource
from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db
from bx24app.models.connections import open_reader
from bx24app.portals import lifecycle, tokens
from bx24app.portals.connections import portal_transport
from bx24app.portals.page_client import PageClient

# Both are read without a write lock: on SQLite a drain would wait for another portal's fold.
_ENDPOINT_QUERY = select(Portal.client_endpoint, Portal.state, Portal.trouble).where(Portal.id == bindparam("portal"))
_LICENCE_QUERY = select(Portal.member_id, Portal.license).where(Portal.id == bindparam("portal"))
BUDGET_CAPACITY_SECONDS = 25.0
"""A portal's budget holds its requests of this many seconds: the cloud's ordinary tariff has 2 a second and 50."""
TOKEN_CACHE_SECONDS = 5.0
"""How long a client uses an access token before it reads the grant again; far below `tokens.EXPIRY_MARGIN`."""
LICENCE_CACHE_SECONDS = 600
"""How long a process remembers a portal's licence."""


class BudgetCache(dict[int, tuple[RequestBudget, float]]):
    """Portal id -> its budget, and until when the licence behind it is trusted (monotonic seconds)."""


class _MethodLoads(dict[int, PortalMethodLoad]):
    """Portal id -> how much of Bitrix24's `operating` time its methods have used."""


def portal_budget(portal_id: int) -> RequestBudget:
    """The portal's request budget; its size follows the licence, which is read again every ten minutes."""
    cache, now = runtime().get(BudgetCache), time.monotonic()
    cached = cache.get(portal_id)
    if cached is not None and cached[1] > now:
        return cached[0]
    db.session.rollback()
    with open_reader() as connection:
        row = connection.execute(_LICENCE_QUERY, {"portal": portal_id}).one()
    budget = member_budget(row.member_id, row.license)
    cache[portal_id] = (budget, now + LICENCE_CACHE_SECONDS)
    return budget


def member_budget(member_id: str, licence: str = "") -> RequestBudget:
    """The request budget of a portal that may not be installed yet: Bitrix24 counts requests by portal."""
    if "selfhosted" in licence:  # `ru_selfhosted` (feature-get.md; server source)
        rate = runtime().config.onpremise_rate
        return RequestBudget(runtime().redis, member_id, rate, rate * BUDGET_CAPACITY_SECONDS)
    large = _is_enterprise(licence)
    return RequestBudget(runtime().redis, member_id, 5.0 if large else 2.0, 250.0 if large else 50.0)


def method_load(portal_id: int) -> PortalMethodLoad:
    """What this process has learnt about the portal's methods."""
    return runtime().get(_MethodLoads).setdefault(portal_id, PortalMethodLoad())


def _is_enterprise(licence: str) -> bool:
    """By LICENSE_FAMILY (app-info.md: plans change, and LICENSE keeps its name); by LICENSE where an older version of
    the app has stored no family."""
    name, _, family = licence.lower().partition(" ")
    return family == "ent" if family else name.partition("_")[2].startswith("ent")


@dataclass(slots=True)
class _CachedToken:
    """The access token that a client has read.

    A token that was renewed or withdrawn meanwhile is refused by the portal and read again.
    """

    token: str
    valid_until: float
    """By the monotonic clock."""


def client_by_id(portal_id: int) -> Bitrix24Client:
    """A client on the portal's grant. It may be used in any thread and holds no database connection during HTTP.

    If the portal has no grant, the first request raises `NeedsAdmin`. If it needs an administrator, the first request
    that succeeds ends that, unless the problem is one of single methods.
    """
    db.session.rollback()
    with open_reader() as connection:
        endpoint, state, trouble = connection.execute(_ENDPOINT_QUERY, {"portal": portal_id}).one()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    budget = portal_budget(portal_id)
    cached = _CachedToken("", 0.0)

    def current_token() -> str:
        if time.monotonic() > cached.valid_until:
            with app.app_context():
                cached.token, cached.valid_until = (
                    tokens.access_token(portal_id),
                    time.monotonic() + TOKEN_CACHE_SECONDS,
                )
        return cached.token

    def renew_token(old: str) -> str:
        cached.valid_until = 0.0
        with app.app_context():
            return tokens.refresh_access_token(portal_id, old)

    def follow_redirect(location: str) -> str:
        with app.app_context():
            return tokens.adopt_new_address(portal_id, location)

    def resume() -> None:
        with app.app_context():
            lifecycle.resume(portal_id)

    source = TokenSource(current_token, renew_token, follow_redirect)
    client = PageClient(endpoint, source, budget, portal_transport(), method_load(portal_id))
    client.portal_id = portal_id
    if state == "needs_admin" and trouble not in lifecycle.TRIAL_PROBLEMS:
        client.on_success = resume
    return client


def client_with_token(
    endpoint: str,
    token: str,
    budget: RequestBudget,
    portal_id: int | None = None,
    follow_redirect: Callable[[str], str] | None = None,
) -> Bitrix24Client:
    """A client on a person's own short-lived token, such as that of a frame's viewer; the token is never refreshed.

    `portal_id`: None: the portal may not be installed yet. `follow_redirect`: None: a redirect is refused.
    """

    def refuse_refresh(_: str) -> str:
        raise NeedsAdmin("authorise", "the token of this opening is no longer good")

    source = TokenSource(lambda: token, refuse_refresh, follow_redirect or refuse_refresh)
    client = PageClient(endpoint, source, budget, portal_transport())
    client.portal_id = portal_id
    return client
