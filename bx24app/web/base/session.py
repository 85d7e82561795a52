"""Frame sessions, placement sessions and tickets: short-lived signed claims.

Never a cookie; a session is never part of a URL.

A frame session says which user of which portal looks at a page. Our own page sends it in a header or form field, so
another site cannot make a browser send it. A ticket allows a browser to fetch one object by itself (audio, a download),
for one user.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
from flask import Request
from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from bx24app.infra.runtime import runtime
from bx24app.web.base.request import HEADER as HEADER

FIELD = "frame_session"
PROOF_SECONDS = 300
"""How long a session is valid. Then the page renews it with a fresh token of its viewer, and the portal is asked again
what they may do and read; a page that nobody uses asks nothing."""
SESSION_SECONDS = 3600
"""After this an open page of the frame asks for a new session by itself (SDK's `refreshAuth`)."""
TAB_SECONDS = 7 * 86400
"""How long after it was opened a tab can get a new session, with a fresh token of its viewer."""
TICKET_SECONDS = 60


class NoSession(Exception):
    """There is no valid claim. `is_stale`: it was valid once, so the page may renew it by itself."""

    def __init__(self, *, is_stale: bool = False) -> None:
        super().__init__("stale" if is_stale else "missing or forged")
        self.is_stale = is_stale


@dataclass(frozen=True, slots=True)
class FrameSession:
    """A verified user of a verified portal. `lang`: LANG of the portal's page. `opened_at`: that page's `scheme://host`
    where it is a proven second name of the portal.
    """

    portal_id: int
    member_id: str
    user_id: int
    is_admin: bool
    lang: str = "ru"
    opened_at: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Permission for `user_id` to fetch one object. `kind`: what `object_id` is an id of."""

    portal_id: int
    user_id: int
    kind: str
    object_id: int


@dataclass(frozen=True, slots=True)
class PlacementSession:
    """What the viewer of a tab may see: calls of `records` (entity, id), which the portal let them read, and calls with
    `number`, which is the browser's word.

    `proof`: the one of `records` that carries the number by the portal's word; without it only the viewer's own calls
    with the number are shown.
    """

    portal_id: int
    member_id: str
    user_id: int
    lang: str
    records: tuple[tuple[str, int], ...] = ()
    number: str = ""
    proof: tuple[str, int] | None = None


def issue_placement(session: PlacementSession) -> str:
    """The claim as text for `HEADER`."""
    records = [list(record) for record in session.records]
    claim = [session.portal_id, session.member_id, session.user_id, session.lang]
    return str(_make_signer("tab").dumps([*claim, records, session.number, session.proof]))


def read_placement(text: str, seconds: int = 0) -> PlacementSession:
    """The session of a tab's claim. `seconds`: how old it may be; 0: `PROOF_SECONDS`.

    Raises:
        NoSession: empty, not signed by us for this purpose, or too old.
    """
    portal_id, member_id, user_id, lang, records, number, proof = _load_claim("tab", text, seconds or PROOF_SECONDS)
    readable = tuple((str(entity), int(record_id)) for entity, record_id in records)
    proven_by = (str(proof[0]), int(proof[1])) if proof else None
    return PlacementSession(portal_id, member_id, user_id, lang, readable, number, proven_by)


def issue(session: FrameSession) -> str:
    """The claim as text for `HEADER` or `FIELD`."""
    claim = [session.portal_id, session.member_id, session.user_id, session.is_admin, session.lang, session.opened_at]
    return str(_make_signer("frame").dumps(claim))


def read(text: str) -> FrameSession:
    """The session of a claim.

    Raises:
        NoSession: empty, not signed by us for this purpose, or too old.
    """
    return FrameSession(*_load_claim("frame", text, PROOF_SECONDS))


def read_ended(text: str) -> FrameSession:
    """The session of a claim that may have ended: for the reason why it cannot be renewed, and nothing else.

    Raises:
        NoSession: empty, not signed by us for this purpose, or older than `TAB_SECONDS`.
    """
    return FrameSession(*_load_claim("frame", text, TAB_SECONDS))


def extract_claim(request: Request) -> str:
    """The claim that a request carries in its header or form; empty: none. The query string is ignored."""
    return request.headers.get(HEADER) or (request.form.get(FIELD, "") if request.method == "POST" else "")


def issue_ticket(ticket: Ticket) -> str:
    """The ticket as text for a URL."""
    return str(_make_signer(_ticket_purpose()).dumps([ticket.portal_id, ticket.user_id, ticket.kind, ticket.object_id]))


def read_ticket(text: str, kind: str, object_id: int) -> Ticket:
    """The ticket for exactly this object.

    Raises:
        NoSession: for another object, forged, or older than a minute.
    """
    ticket = Ticket(*_load_claim(_ticket_purpose(), text, TICKET_SECONDS))
    if (ticket.kind, ticket.object_id) != (kind, object_id):
        raise NoSession
    return ticket


def _ticket_purpose() -> str:
    """A ticket names rows by id alone, and row ids come again in another database."""
    with suppress(redis.ConnectionError):  # the database is away, and nothing can be fetched anyway
        return f"ticket{runtime().key_names.claim_scope()}"
    return "ticket"


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
