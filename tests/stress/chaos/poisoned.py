"""Poison among a day of calls: notifications on which the program fails, and answers that no column holds.

Each stands aside or is refused with its reason, and the day is as if it were not there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bx24app.models import Call, Delivery, Notice, Notification, Pbx, SetAside, db, utcnow
from bx24app.sandbox.bitrix.registry import METHODS, CommandContext
from tests.stress.chaos.processes import ChaosStack
from tests.support.stack import until

NUMBER = "79990000000"
PAUSE_SECONDS = 0.3
NO_PBX = 999_999
"""No PBX has this id: whatever names it raises in the fold."""
_REGISTER = "telephony.externalcall.register"


def poisoned_notifications(stack: ChaosStack, seconds: float) -> None:
    """A notification on which the program fails, again and again; each is listed with its reason."""
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end or not sent:
        _plant(stack, f"poison-{sent}", NO_PBX)
        sent += 1
        time.sleep(PAUSE_SECONDS)
    until(lambda: _count(stack) == sent, lambda: f"{_count(stack)} of {sent} notifications stand aside", 60)
    with stack.world.app.app_context():
        rows = db.session.query(SetAside).all()
        wrong = [row.reason for row in rows if row.kind != "notification" or " in calls/fold/" not in row.reason]
        db.session.rollback()
    if wrong:
        raise RuntimeError(f"listed with another reason: {wrong}")
    _forget(stack)


def poisoned_answers(stack: ChaosStack, seconds: float) -> None:
    """The portal answers the registration of one client with an id of 40,000 letters: the command is listed."""
    with _odd_answers():
        end, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end or not sent:
            with stack.world.app.app_context():
                pbx_id = db.session.query(Pbx).order_by(Pbx.id).first().id  # type: ignore[union-attr]
                db.session.rollback()
            _plant(stack, f"poison-{sent}", pbx_id)
            sent += 1
            time.sleep(PAUSE_SECONDS)
        until(lambda: _refused(stack) >= sent, lambda: f"{_refused(stack)} of {sent} answers are listed", 60)
    with stack.world.app.app_context():  # nothing of them is sent later, when the portal answers well again
        poison = db.session.query(Call.id).filter(Call.entry_id.like("poison-%"))
        db.session.query(Delivery).filter(Delivery.call_id.in_(poison)).delete()
        db.session.query(Call).filter(Call.id.in_(poison)).update({"due_at": None, "state": "finished"})
        db.session.commit()


def _plant(stack: ChaosStack, entry_id: str, pbx_id: int) -> None:
    """A ringing leg in the inbox; the sweep finds it."""
    leg = {"entry_id": entry_id, "call_id": entry_id, "timestamp": 1776060000, "seq": 1, "call_state": "Appeared",
           "location": "abonent", "from": {"number": NUMBER}, "to": {"extension": "101"}}  # fmt: skip
    with stack.world.app.app_context():
        db.session.add(
            Notification(portal_id=stack.world.portal_row()["id"], pbx_id=pbx_id, dialect="vpbx", name="events/call",
                         entry_id=entry_id, dedup_key=entry_id, body=json.dumps(leg), state="new", received_at=utcnow())
        )  # fmt: skip
        db.session.commit()


def _count(stack: ChaosStack) -> int:
    with stack.world.app.app_context():
        count = db.session.query(SetAside).filter_by(is_waiting=False).count()
        db.session.rollback()
    return count


def _refused(stack: ChaosStack) -> int:
    with stack.world.app.app_context():
        count = db.session.query(Delivery).filter_by(kind="Register", state="dead", code="UNREADABLE").count()
        db.session.rollback()
    return count


@contextmanager
def _odd_answers() -> Iterator[None]:
    method = METHODS[_REGISTER]

    def register(context: CommandContext, params: dict[str, Any]) -> Any:
        if NUMBER in str(params.get("PHONE_NUMBER") or params):
            return {"CALL_ID": "c" * 40_000, "CRM_CREATED_LEAD": 2**40}
        return method.handler(context, params)

    METHODS[_REGISTER] = replace(method, handler=register)
    try:
        yield
    finally:
        METHODS[_REGISTER] = method


def _forget(stack: ChaosStack) -> None:
    """The list and the notices about it would be counted as the day's."""
    with stack.world.app.app_context():
        db.session.query(SetAside).delete()
        db.session.query(Notice).filter(Notice.key.like("set_aside:%")).delete()
        db.session.commit()
