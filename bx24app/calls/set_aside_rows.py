"""How each kind of row is marked when it is set aside, and how it is given back. `set_aside` and the loops call this.

A notification is rejected, so that no fold reads it. A call is woken by nothing but news. A delivery is refused with
the code of an unreadable answer, so that a verification comes before a repeat. A recording is lost.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.domain.calls.ledger import UNREADABLE
from bx24app.models import Call, Delivery, Notification, Recording, SetAside, utcnow


def give_back(session: Session, row: SetAside) -> bool:
    """Let what this row names be worked on again; the row waits. False: it is gone, or must not be repeated."""
    is_given = {
        "notification": _give_back_notification,
        "call": _give_back_call,
        "delivery": _give_back_delivery,
        "recording": _give_back_recording,
    }[row.kind](session, row)
    row.is_waiting, row.at, row.due_at = True, utcnow(), None
    return is_given


def _give_back_notification(session: Session, row: SetAside) -> bool:
    notification = session.get(Notification, row.row_id)
    # A click or a form callback is not started later: it would ring people who no longer expect it.
    if notification is None or notification.portal_id != row.portal_id or notification.pbx_id == 0:
        return False
    notification.state, notification.reason = "new", None
    return True


def _give_back_call(session: Session, row: SetAside) -> bool:
    call = session.get(Call, row.row_id)
    if call is None or call.portal_id != row.portal_id:
        return False
    if call.problem == row.reason:
        call.problem = None
    call.due_at = utcnow()
    return True


def _give_back_delivery(session: Session, row: SetAside) -> bool:
    delivery = session.get(Delivery, row.row_id)
    if delivery is None or delivery.portal_id != row.portal_id or delivery.state != "dead":
        return False
    if delivery.kind in MANGO_KINDS:
        return False  # it would ring people now
    delivery.state, delivery.attempts, delivery.uncertain = "waiting", 0, delivery.code == UNREADABLE
    delivery.due_at = delivery.sent_at = delivery.done_at = delivery.code = delivery.reason = None
    return True


def _give_back_recording(session: Session, row: SetAside) -> bool:
    recording = session.get(Recording, row.row_id)
    if recording is None or recording.portal_id != row.portal_id or recording.state != "lost":
        return False
    recording.state, recording.problem, recording.problem_code = "waiting", None, None
    recording.due_at, recording.claimed_at = utcnow(), None
    return True


def mark_notification(notification: Notification, reason: str) -> None:
    notification.state, notification.reason = "rejected", reason


def mark_call(call: Call, reason: str) -> None:
    """Only news of the call or its answers bring it to a fold again."""
    call.due_at, call.problem, call.problem_delivery = None, reason, None


def mark_delivery(delivery: Delivery, reason: str, code: str = UNREADABLE) -> None:
    """By default: the receiver answered, but nobody could store what."""
    delivery.state, delivery.done_at, delivery.due_at = "dead", utcnow(), None
    delivery.code, delivery.reason = code, reason
