"""The progress of a click or a form callback before the PBX shows a leg: it is under way, or it has failed.

The fold calls `update_progress` for calls without a leg. A failed call is finished at once, and a user gets a message
that says why.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.calls.click_to_call.dial import ANSWER_WAIT_SECONDS, KEY_LOCKED, TOO_LATE, mark_answer_lost
from bx24app.domain.bounds import is_whole
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AnyCommand, Finish, Notify
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.domain.languages import choose_language
from bx24app.domain.working_hours import load_zone
from bx24app.infra.messages import message
from bx24app.mango import codes
from bx24app.models import Call, Delivery, Notification, Portal, utcnow

NO_LEG_SECONDS = 120
"""How long a command that Mango accepted may stay without a leg."""


def update_progress(
    session: Session, portal: Portal, call: Call, notifications: list[Notification], ledger: Ledger, policy: Policy
) -> None:
    """Check the call on every notification and when `call.due_at` passes; sets `due_at` again. Once there is a leg, the
    fold decides instead."""
    call.due_at = None
    finish = ledger.finish_entry()
    if finish is not None:
        call.state = {"done": "finished", "dead": "dead"}.get(finish.state, "open")
        call.activity_id = finish.answer.get("activity_id")
        return
    if call.outcome is not None or call.state == "dead":
        return
    refusal = call.read_facts().refusal
    if refusal is not None:
        _fail_call(session, call, policy, refusal["status"], refusal["words"])
        return
    dial = session.scalars(select(Delivery).where(Delivery.call_id == call.id, Delivery.kind == "Dial")).first()
    if dial is not None:
        _evaluate_dial(session, portal, call, dial, _callback_result(notifications), policy)


def _evaluate_dial(
    session: Session, portal: Portal, call: Call, dial: Delivery, result: int | None, policy: Policy
) -> None:
    kind = "callback" if call.read_facts().is_form_callback else "click"
    number = call.client_number or ""
    if dial.state == "dead" or result not in (None, codes.SUCCESS):
        code = result or (int(dial.code) if dial.code and dial.code.isdecimal() and len(dial.code) < 10 else 0)
        why = _describe_failure(dial, code, portal.lang, policy.settings.portal.timezone)
        words = message(portal.lang, f"{kind}_refused", number=number, why=why)
        call.reason = code if code >= codes.SUCCESS else None
        _fail_call(session, call, policy, codes.sip_status(code), words)
        return
    fails_at = _failure_time(dial, result)
    if fails_at is None:
        return
    if utcnow() >= fails_at:
        if dial.state == "sent":  # its worker has died, or the answer would come too late
            mark_answer_lost(dial)
        _fail_call(session, call, policy, "304", message(portal.lang, f"{kind}_silent", number=number))
        return
    call.due_at = fails_at


def _failure_time(dial: Delivery, result: int | None) -> datetime | None:
    """When a command without a leg has failed; None: it is not sent yet. Without an answer and a result the time is
    short."""
    if dial.sent_at is None:
        return None
    answered = dial.state == "done" and not (dial.answer or {}).get("lost")
    return dial.sent_at + timedelta(seconds=NO_LEG_SECONDS if answered or result is not None else ANSWER_WAIT_SECONDS)


def _describe_failure(dial: Delivery, code: int, lang: str, timezone: str) -> str:
    """What Mango's code means; without a code, why the command was not sent. Times are those of the portal."""
    if code >= codes.SUCCESS:
        return codes.describe_code(code, choose_language(lang))
    if dial.code == TOO_LATE:
        return message(lang, "mango_too_late")
    if dial.code == KEY_LOCKED:
        ends_at = datetime.fromtimestamp((dial.answer or {})["locked_until"], load_zone(timezone))
        next_minute = ends_at.replace(second=0) + timedelta(minutes=1)
        return message(lang, "mango_key_locked", time=f"{next_minute:%H:%M}")
    return message(lang, "mango_refuses_address" if code in (401, 403) else "mango_away")


def _callback_result(notifications: list[Notification]) -> int | None:
    """The code of `result/callback` or `result/callback_group`, a refusal before a success; None: there is no result
    yet."""
    results = []
    for row in notifications:
        if row.name.startswith("result/callback") and row.state != "rejected":
            try:
                code = int(json.loads(row.body).get("result"))
            except (TypeError, ValueError, AttributeError, OverflowError):
                continue  # a malformed result decides nothing; the journal shows it
            if is_whole(code):
                results.append(code)
    return next((code for code in results if code != codes.SUCCESS), results[0] if results else None)


def _fail_call(session: Session, call: Call, policy: Policy, status: str, words: str) -> None:
    """End the call. A click is finished in the portal and its user gets a message; a form callback has no call in the
    portal, so the line's responsible gets one."""
    facts = call.read_facts()
    user = facts.click_user_id
    call.outcome, call.ended_at, call.problem, call.due_at = "failed", utcnow(), words, None
    call.problem_delivery = None
    commands: list[AnyCommand] = []
    if user is not None:
        number = call.client_number or ""
        commands += [
            Finish(key="finish", user_id=user, seconds=0, status=status, reason=words, number=number),
            Notify(key="notify-click", user_id=user, text=words),
        ]
    else:
        call.state = "finished"
        line = policy.find_line(facts.requested_line)
        responsible = policy.line_responsible(line, None) or policy.default_user
        commands.append(Notify(key="notify-callback", user_id=responsible, text=words))
    existing = set(session.scalars(select(Delivery.key).where(Delivery.call_id == call.id)))
    for command in commands:
        if command.key not in existing:
            session.add(
                Delivery(
                    portal_id=call.portal_id,
                    call_id=call.id,
                    key=command.key,
                    kind=type(command).__name__,
                    command=to_json(command),
                )
            )
