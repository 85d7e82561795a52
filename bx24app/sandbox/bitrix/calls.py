"""A call from register to the card: deduplication, client search, created records, call cards.

S: voximplant/lib/rest/helper.php, vi_crm_helper.php. `telephony.py` translates between these functions and the methods
telephony.externalCall.*; `clicks.py` registers the calls that begin in the portal; `call_finish.py` finishes calls.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bx24app.sandbox.bitrix import crm_create
from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, LEAD, Card, CardStep, InstalledApp, Line, LiveCall, Owner

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

DEDUP_SECONDS = 30 * 60
RETENTION_SECONDS = 30 * 86400
"""A portal deletes calls that are not finished within this time."""
OUTGOING, INCOMING, REDIRECTED, CALLBACK, INFO = 1, 2, 3, 4, 5
INACTIVE_USER = "User is not found or is not active"
MAX_LINE_BYTES = 50
FIELD_LENGTHS = {"PHONE_NUMBER": 20, "EXTERNAL_CALL_ID": 64, "FAILED_REASON": 255}
"""Characters of a row of the statistics. S: finish fails with a longer one, after it has created the activity."""
UNKNOWN_CALL = "Call is not found (call should be registered prior to finishing"


@dataclass
class CallRegistration:
    """The parameters of a registration, parsed."""

    user_id: int
    phone: str
    type: int
    start: float | None = None
    line: str | None = None
    external_id: str | None = None
    should_create: bool = False
    source: str = ""
    entity: Owner | None = None
    should_show: bool = True
    is_click: bool = False
    activity_id: int | None = None


def strip_phone(phone: str) -> str:
    """A phone number reduced to the characters that telephony stores."""
    return re.sub(r"[^0-9#*+,;]", "", phone)


def register_call(portal: Portal, app: InstalledApp, order: CallRegistration) -> LiveCall:
    """Registers a call or returns the unfinished call that it duplicates, creates CRM records and opens the card.

    Raises:
        RestError: the number has no digits, or the user is not active.
    """
    call, fresh = find_or_create(portal, app, order)
    complete_registration(portal, call, order, fresh)
    return call


def complete_registration(portal: Portal, call: LiveCall, order: CallRegistration, fresh: bool) -> None:
    """The second half of a registration: creates CRM records for an unknown client and opens the card."""
    if fresh and not call.internal and order.should_create:
        crm_create.create_records(portal, call, order.source)
    if order.should_show:
        show_card(portal, call, [call.user_id], "register")


def find_or_create(portal: Portal, app: InstalledApp, order: CallRegistration) -> tuple[LiveCall, bool]:
    """The first half of a registration: finds the client and returns the call and whether it is new.

    Raises:
        RestError: the number has no digits, or the user is not active.
    """
    phone = strip_phone(order.phone)
    if not phone:
        raise RestError("ERROR_CORE", "Unsupported phone number format")
    user = portal.users.get(order.user_id)
    if user is None or not user.active:
        raise RestError("ERROR_CORE", INACTIVE_USER)
    line = _ensure_line(portal, app, order.line)
    call_id = _make_call_id(portal, order)
    # The event precedes the search for a duplicate. If there is one, nothing uses this CALL_ID again.
    init = {"CALL_ID": call_id, "CALL_TYPE": order.type, "CALLER_ID": phone, "REST_APP_ID": app.id}
    portal.event_sender.send_event("ONVOXIMPLANTCALLINIT", init, order.user_id)
    call = _find_duplicate(portal, app, order, phone, line)
    if call is not None:
        return call, False
    call = _create_call(portal, app, order, phone, line, call_id)
    start = {"CALL_ID": call_id, "USER_ID": order.user_id}
    portal.event_sender.send_event("ONVOXIMPLANTCALLSTART", start, order.user_id)
    return call, True


def _make_call_id(portal: Portal, order: CallRegistration) -> str:
    seed = f"{portal.member_id}{portal.next_id('call')}{order.user_id}{order.phone}"
    return f"externalCall.{hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()}.{int(portal.now())}"


def _ensure_line(portal: Portal, app: InstalledApp, number: str | None) -> str | None:
    """Creates a line that does not exist: a misspelt number silently becomes a new line."""
    # The server cuts after so many bytes, within a letter too.
    wanted = (number or "").strip().encode(errors="replace")[:MAX_LINE_BYTES].decode(errors="replace")
    if not wanted:
        return None
    if not any(line.number == wanted and line.app_id == app.id for line in portal.lines.values()):
        line = Line(portal.next_id("line"), app.id, wanted, automatic=True)
        portal.lines[line.id] = line
        portal.notify_watchers("line", number=wanted)
    return wanted


def _find_duplicate(
    portal: Portal, app: InstalledApp, order: CallRegistration, phone: str, line: str | None
) -> LiveCall | None:
    """A call of the same application, user, number and type that began less than 30 minutes ago.

    Line and EXTERNAL_CALL_ID must match too if the registration has them.
    """
    _drop_expired(portal)
    oldest = portal.now() - DEDUP_SECONDS
    for call in portal.live_by_key.get((app.id, order.user_id, phone, order.type), []):
        if call.start > oldest and line in (None, call.line) and order.external_id in (None, call.external_id):
            return call
    return None


def _drop_expired(portal: Portal) -> None:
    """Drops calls that nobody finished within a month. `portal.calls` is in the order of registration."""
    limit = portal.now() - RETENTION_SECONDS
    for call in list(itertools.takewhile(lambda live: live.registered < limit, portal.calls.values())):
        remove_call(portal, call)


def remove_call(portal: Portal, call: LiveCall) -> None:
    """Removes a call from the live calls. A second removal does nothing."""
    if portal.calls.pop(call.call_id, None) is not None:
        key = call.app_id, call.user_id, call.phone, call.type
        portal.live_by_key[key].remove(call)
        if not portal.live_by_key[key]:
            del portal.live_by_key[key]


def _create_call(
    portal: Portal, app: InstalledApp, order: CallRegistration, phone: str, line: str | None, call_id: str
) -> LiveCall:
    now = portal.now()
    call = LiveCall(
        call_id, app.id, order.user_id, phone, order.type, order.start or now, now, line, order.external_id,
        internal=portal.user_by_inner(phone) is not None, clicked=order.is_click, activity_id=order.activity_id,
    )  # fmt: skip
    portal.calls[call_id] = call
    portal.live_by_key[app.id, call.user_id, phone, call.type].append(call)
    if not call.internal:
        if order.entity:
            call.primary, call.bindings = order.entity, with_deals(portal, [order.entity])
        else:
            clients = find_clients(portal, phone)
            call.primary, call.bindings = (clients[0] if clients else None), with_deals(portal, clients[:1])
    portal.notify_watchers("call", call_id=call_id, state="registered")
    return call


def find_clients(portal: Portal, phone: str) -> list[Owner]:
    """The CRM records with this number: contacts, then companies, then open leads."""
    records = portal.crm.find_records("PHONE", phone, CONTACT, COMPANY, LEAD)
    return [
        record.key
        for record in records
        if record.type_id != LEAD or record.fields.get("stageSemanticId", "P") == "P"
    ]


def with_deals(portal: Portal, owners: list[Owner]) -> list[Owner]:
    """The given records, and their open deals if `bind_open_deals` is on."""
    bound = list(owners)
    if portal.switches.bind_open_deals:
        for type_id, number in owners:
            record = portal.crm.get_record(type_id, number)
            bound += [deal.key for deal in portal.crm.open_deals_of(record)] if record else []
    return bound


def show_card(portal: Portal, call: LiveCall, users: Iterable[int], method: str) -> None:
    """Opens the card on these users' screens. This makes nobody responsible for the call."""
    for user_id in users:
        card = Card(call.call_id, user_id, call.phone, call.type, call.line or "", call.primary, portal.now())
        portal.cards[user_id].setdefault(call.call_id, card)
        portal.card_history.append(CardStep(portal.now(), "show", user_id, call.call_id, method))
        if user_id not in call.shown_to:
            call.shown_to.append(user_id)
        portal.notify_watchers("card", action="show", user_id=user_id, call_id=call.call_id)


def hide_card(portal: Portal, call_id: str, users: Iterable[int], method: str) -> None:
    """Closes the card on these users' screens."""
    for user_id in users:
        if portal.cards[user_id].pop(call_id, None) is not None:
            portal.card_history.append(CardStep(portal.now(), "hide", user_id, call_id, method))
            portal.notify_watchers("card", action="hide", user_id=user_id, call_id=call_id)
