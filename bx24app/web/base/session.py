"""Frame sessions and tickets: short-lived signed claims. Never a cookie; a session never stands in a URL.

A frame session says who looks at us from inside a portal's frame. It travels in a header (or a form field) that our own page sends, so
another site cannot make a browser send it. A ticket is for what a browser fetches by itself (audio, a download): one object, one user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Request
from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from bx24app.infra.runtime import runtime

HEADER, FIELD = "X-Frame-Session", "frame_session"
SESSION_SECONDS = 3600
"""How long a frame session is good; the page renews it before by the SDK's `refreshAuth`."""
ADMIN_SECONDS = 300
"""How long a session's word that its viewer is an administrator is good; then the page renews it, which asks the portal again."""
TAB_SECONDS = 7 * 86400
"""How long after its opening a tab may ask for another session, with a fresh token of its viewer."""
TICKET_SECONDS = 60


class NoSession(Exception):
    """There is no good claim. `stale`: it was ours, but its time is over, so the page may renew it by itself."""

    def __init__(self, *, is_stale: bool = False) -> None:
        super().__init__("stale" if is_stale else "missing or forged")
        self.is_stale = is_stale


@dataclass(frozen=True, slots=True)
class FrameSession:
    """Who looks: a verified user of a verified portal. `lang`: the language of the portal's page."""

    portal_id: int
    member_id: str
    user_id: int
    is_admin: bool
    lang: str = "ru"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to fetch one object, once it was shown to `user_id`. `kind`: what `object_id` is an id of."""

    portal_id: int
    user_id: int
    kind: str
    object_id: int


@dataclass(frozen=True, slots=True)
class PlacementSession:
    """What the viewer of a tab may see: calls of `records` (entity, id), which the portal let them read, and calls with `number`.

    `own`: of those with the number only their own; nothing proved that they may read the client.
    """

    portal_id: int
    member_id: str
    user_id: int
    lang: str
    records: tuple[tuple[str, int], ...] = ()
    number: str = ""
    is_own_only: bool = True


def issue_placement(session: PlacementSession) -> str:
    """The claim as text for `HEADER`."""
    records = [list(record) for record in session.records]
    claim = [session.portal_id, session.member_id, session.user_id, session.lang, records, session.number, session.is_own_only]
    return str(_make_signer("place").dumps(claim))


def read_placement(text: str, seconds: int = 0) -> PlacementSession:
    """The session of a tab's claim. `seconds`: how old it may be; 0: as old as any session.

    Raises:
        NoSession: empty, not signed by us for this purpose, or too old.
    """
    portal_id, member_id, user_id, lang, records, number, own = _load_claim("place", text, seconds or SESSION_SECONDS)
    return PlacementSession(portal_id, member_id, user_id, lang, tuple((str(e), int(i)) for e, i in records), number, own)


def issue(session: FrameSession) -> str:
    """The claim as text for `HEADER` or `FIELD`."""
    claim = [session.portal_id, session.member_id, session.user_id, session.is_admin, session.lang]
    return str(_make_signer("frame").dumps(claim))


def read(text: str) -> FrameSession:
    """The session of a claim.

    Raises:
        NoSession: empty, not signed by us for this purpose, or too old: an administrator's sooner, as the right may be taken away.
    """
    found = FrameSession(*_load_claim("frame", text, SESSION_SECONDS))
    if found.is_admin:
        _load_claim("frame", text, ADMIN_SECONDS)
    return found


def extract_claim(request: Request) -> str:
    """The claim that a request carries; empty: none. A query string is not looked at."""
    return request.headers.get(HEADER) or (request.form.get(FIELD, "") if request.method == "POST" else "")


def issue_ticket(ticket: Ticket) -> str:
    """The ticket as text for a URL."""
    return str(_make_signer("ticket").dumps([ticket.portal_id, ticket.user_id, ticket.kind, ticket.object_id]))


def read_ticket(text: str, kind: str, object_id: int) -> Ticket:
    """The ticket for exactly this object.

    Raises:
        NoSession: of another object, forged, or older than a minute.
    """
    ticket = Ticket(*_load_claim("ticket", text, TICKET_SECONDS))
    if (ticket.kind, ticket.object_id) != (kind, object_id):
        raise NoSession
    return ticket


def _make_signer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(runtime().config.secret_key, salt=f"bx24app.{purpose}")


def _load_claim(purpose: str, text: str, seconds: int) -> list[Any]:
    try:
        claim: list[Any] = _make_signer(purpose).loads(text, max_age=seconds)
    except SignatureExpired:
        raise NoSession(is_stale=True) from None
    except BadData:
        raise NoSession from None
    return claim
