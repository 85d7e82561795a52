"""Sends claimed batches to the portal and stores what became of them. No database connection is in use meanwhile.

`calls.drain` calls `send` and `store_outcomes`; which deliveries leave is chosen in `batches`. A row is `sent` on disk
before its request leaves, and its answer is stored right after. The portal is not idempotent, so after a lost answer it
is asked what happened before the command is repeated (`verification`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from random import uniform
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bx24app.bitrix24 import commands as rest_commands
from bx24app.bitrix24.answer_bounds import bound_facts
from bx24app.bitrix24.batch_encoding import BatchRef
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.bitrix24.errors import AnswerLost, Gone, Later, NeedsAdmin, Refused
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.lost_requests import time_to_ask_again
from bx24app.calls.outbox.verification import Verification
from bx24app.domain.calls.commands import AnyCommand, Ref
from bx24app.domain.calls.ledger import UNREADABLE, USER_INACTIVE
from bx24app.infra.logs import get_logger
from bx24app.models import Delivery, Portal, PortalUser, utcnow

_log = get_logger(__name__)
UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
"""Code of a delivery that died because nobody can tell whether it was carried out."""
BACKOFF = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900)
"""Seconds before the next try. Up to a tenth is added at random; a time that the portal names comes first."""
_DELIVERIES_BY_ID = select(Delivery).where(Delivery.id.in_(bindparam("ids", expanding=True)))
"""Built once: building a statement costs more than SQLite needs to answer it."""


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch, after how many seconds: an answer or an error for each command that was reached, or one
    error for all.
    """

    batch: Batch
    answers: dict[int, Any] = field(default_factory=dict)
    """Delivery id -> raw result, or the exception."""
    error: Exception | None = None
    verified_answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a verification: command key -> facts of a command that was carried out."""
    verification_seconds: float = 0.0
    """How long the verification took."""
    seconds: float = 0.0

    @property
    def is_unanswered(self) -> bool:
        """Did the portal itself not answer? Limits and times that it names are answers."""
        error = self.error
        return isinstance(error, Later) and not error.is_rate_limited and error.retry_after is None

    @property
    def is_accepted(self) -> bool:
        """Did the portal carry out a command, and refuse none for want of an administrator?"""
        if self.error is not None or self.blocking_error is not None or self.batch.verification is not None:
            return False
        return any(not isinstance(answer, Exception) for answer in self.answers.values())

    @property
    def blocking_error(self) -> NeedsAdmin | Gone | None:
        """The error that ends this portal's deliveries for now: of the whole request, or of one command of a batch."""
        errors = (self.error, *self.answers.values())
        return next((error for error in errors if isinstance(error, NeedsAdmin | Gone)), None)


class _UnresolvedReference(Exception):
    """A command refers to a fact that no answer gave, such as the activity of a call that has none."""


def send(client: Bitrix24Client, batch: Batch) -> BatchOutcome:
    """Send one batch. Never touches the database; every failure of the portal is in the outcome."""
    outcome = BatchOutcome(batch)
    try:
        if batch.verification is not None:
            _send_verification(client, batch, batch.verification, outcome)
        else:
            _send_commands(client, batch, outcome)
    except Refused as error:
        if batch.verification is None and len(batch.items) == 1:
            outcome.answers[batch.items[0].delivery_id] = error
        else:
            outcome.error = error
    except (Later, NeedsAdmin, Gone) as error:
        outcome.error = error
    return outcome


def _send_commands(client: Bitrix24Client, batch: Batch, outcome: BatchOutcome) -> None:
    requests = _build_requests(batch, outcome)
    if len(requests) == 1 and not batch.is_shared:
        item, method, params = requests[0]
        outcome.answers[item.delivery_id] = client.call(method, params, batch.priority, leave_by=batch.leave_by).result
    elif requests:
        commands = [(item.batch_key, method, params) for item, method, params in requests]
        answers = client.batch(commands, halt=not batch.is_shared, priority=batch.priority, leave_by=batch.leave_by)
        for item, _, _ in requests:
            if item.batch_key in answers:
                answer = answers[item.batch_key]
                outcome.answers[item.delivery_id] = answer.result if isinstance(answer, RestResult) else answer


def _send_verification(client: Bitrix24Client, batch: Batch, verification: Verification, outcome: BatchOutcome) -> None:
    """Only a readable answer shows that a command was not carried out; a refusal shows nothing."""
    started = time.monotonic()
    answer = client.call(verification.method, verification.params, batch.priority, leave_by=batch.leave_by).result
    outcome.verification_seconds = time.monotonic() - started
    try:
        answers = verification.parse_answer(answer)
        outcome.verified_answers = {key: bound_facts(facts) for key, facts in answers.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(UNREADABLE, f"a look-up's answer has an unknown shape: {type(error).__name__}") from None


def _build_requests(batch: Batch, outcome: BatchOutcome) -> list[tuple[BatchItem, str, dict[str, Any]]]:
    items_by_key: dict[tuple[int, str], BatchItem] = {}
    requests: list[tuple[BatchItem, str, dict[str, Any]]] = []
    for item in batch.items:
        values = batch.known_values.get(item.call_id, {})

        def resolve_ref(ref: Ref, item: BatchItem = item, values: dict[tuple[str, str], Any] = values) -> Any:
            for (key, fact), value in reversed(values.items()):
                if fact == ref.fact and key.partition("~")[0] == ref.key:
                    if value is None:
                        raise _UnresolvedReference(f"{ref.key} gave no {ref.fact}")
                    return value
            earlier = items_by_key.get((item.call_id, ref.key))
            if earlier is None:
                raise _UnresolvedReference(f"{ref.key} gave no {ref.fact}")
            return BatchRef(earlier.batch_key, rest_commands.fact_path(earlier.command, ref.fact))

        try:
            method, params = rest_commands.build_request(item.command, resolve_ref)
        except _UnresolvedReference as error:
            outcome.answers[item.delivery_id] = Refused("UNRESOLVED", str(error))
            if not batch.is_shared:
                break
            continue
        items_by_key[item.call_id, item.command.key.partition("~")[0]] = item
        requests.append((item, method, params))
    return requests


def store_outcomes(session: Session, portal: Portal, *outcomes: BatchOutcome) -> set[int]:
    """Write on their rows what became of batches. Returns the calls (row ids) to fold again. The caller commits."""
    ids = [item.delivery_id for outcome in outcomes for item in outcome.batch.items]
    current = {row.id: row for row in session.scalars(_DELIVERIES_BY_ID, {"ids": ids})}
    return set().union(*(_write_outcome(session, portal, outcome, current) for outcome in outcomes))


def _write_outcome(session: Session, portal: Portal, outcome: BatchOutcome, current: dict[int, Delivery]) -> set[int]:
    claimed_at = outcome.batch.claimed_at
    rows = {
        delivery_id: row
        for delivery_id, row in current.items()
        if row.state == "sent" and row.sent_at == claimed_at
    }
    items = [item for item in outcome.batch.items if item.delivery_id in rows]
    given_up = [(item, current.get(item.delivery_id)) for item in outcome.batch.items if item.delivery_id not in rows]
    late = _accept_late_answers(session, portal, outcome, given_up)
    if outcome.error is not None:
        for row in rows.values():
            _reschedule_delivery(row, outcome.error)
            if outcome.batch.verification is not None and isinstance(outcome.error, Refused):
                _give_up_unverified(row, outcome.error)
        return {item.call_id for item in items if rows[item.delivery_id].state == "dead"}
    if outcome.batch.verification is not None:
        _apply_verification(outcome, items, rows)
        return {item.call_id for item in items}
    _apply_answers(session, portal, outcome, items, rows)
    return late | {item.call_id for item in items}


def _apply_answers(
    session: Session, portal: Portal, outcome: BatchOutcome, items: list[BatchItem], rows: dict[int, Delivery]
) -> None:
    failed_calls: set[int] = set()
    for item in items:
        row = rows[item.delivery_id]
        answer = outcome.answers.get(item.delivery_id, _NOT_REACHED)
        if item.call_id in failed_calls or answer is _NOT_REACHED:
            # Not carried out, or behind a command that failed: nothing is decided about it.
            row.state, row.sent_at = "waiting", None
            row.attempts -= 1
        elif not _apply_answer(session, portal, row, item.command, answer):
            failed_calls.add(item.call_id)


_NOT_REACHED = object()


def _accept_late_answers(
    session: Session, portal: Portal, outcome: BatchOutcome, given_up: list[tuple[BatchItem, Delivery | None]]
) -> set[int]:
    """Answers to requests that `recover_lost_requests` had given up.

    A success is accepted; all else is left to whoever has the row now.
    """
    accepted_calls: set[int] = set()
    for item, row in given_up:
        answer = outcome.answers.get(item.delivery_id, _NOT_REACHED)
        is_open = row is not None and row.state in ("waiting", "sent") and outcome.batch.verification is None
        is_accepted = is_open and answer is not _NOT_REACHED and not isinstance(answer, Exception)
        _log.warning("late answer", delivery=item.delivery_id, kind=type(item.command).__name__, taken=is_accepted)
        if row is not None and is_accepted:
            _apply_answer(session, portal, row, item.command, answer)
            row.due_at = None
            accepted_calls.add(item.call_id)
    return accepted_calls


def _apply_answer(session: Session, portal: Portal, row: Delivery, command: AnyCommand, answer: Any) -> bool:
    """One command's answer; False: it was not carried out (yet)."""
    if isinstance(answer, Refused):
        if not rest_commands.is_harmless_refusal(command, f"{answer.code} {answer.description}"):
            _apply_refusal(session, portal, row, command, answer)
            return False
        answer = {}
    if isinstance(answer, Exception):
        _reschedule_delivery(row, answer)
        return False
    try:
        row.answer = rest_commands.parse_answer(command, answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        row.state, row.done_at, row.code = "dead", utcnow(), UNREADABLE
        row.reason = f"the portal's answer has an unknown shape: {type(error).__name__} {error}"[:500]
        return False
    row.state, row.done_at, row.uncertain = "done", utcnow(), False
    row.code, row.reason = None, None
    return True


def _apply_refusal(session: Session, portal: Portal, row: Delivery, command: AnyCommand, refusal: Refused) -> None:
    row.state, row.done_at, row.code, row.reason = "dead", utcnow(), refusal.code, refusal.description
    if rest_commands.is_about_user(command, refusal.description):
        row.code = USER_INACTIVE
    if row.code == USER_INACTIVE:
        _mark_user_inactive(session, portal, getattr(command, "user_id", getattr(command, "responsible", None)))
    _log.warning("delivery refused", delivery=row.id, kind=row.kind, code=refusal.code, reason=refusal.description)


def _reschedule_delivery(row: Delivery, error: Exception) -> None:
    """Try again after the back-off, or after the time that the portal names.

    After a lost answer a verification comes first.
    """
    row.state, row.sent_at = "waiting", None
    row.code, row.reason = type(error).__name__, str(error)[:500]
    if isinstance(error, AnswerLost):
        row.uncertain = True
    after = getattr(error, "retry_after", None)
    if after is None:
        after = BACKOFF[min(row.attempts, len(BACKOFF)) - 1] * uniform(1.0, 1.1)  # noqa: S311 - jitter, not a secret
    if isinstance(error, NeedsAdmin | Gone):
        after, row.attempts = 0, row.attempts - 1
    row.due_at = utcnow() + timedelta(seconds=after)


def _apply_verification(outcome: BatchOutcome, items: list[BatchItem], rows: dict[int, Delivery]) -> None:
    """A verification's answer: a command that it shows is done, any other was not carried out and may leave again."""
    for item in items:
        row = rows[item.delivery_id]
        row.attempts -= 1
        facts = outcome.verified_answers.get(item.command.key)
        again_at = time_to_ask_again(row, outcome.verification_seconds)
        if facts is None and again_at is not None:
            row.state, row.due_at, row.sent_at = "waiting", again_at, None
        elif facts is None:
            row.state, row.uncertain, row.due_at, row.sent_at = "waiting", False, None, None
        else:
            row.state, row.uncertain, row.done_at, row.answer = "done", False, utcnow(), facts


def _give_up_unverified(row: Delivery, error: Refused) -> None:
    """The portal refuses to tell what became of a request. A repeat might double it, so in the end a person decides."""
    if row.attempts >= len(BACKOFF):
        row.state, row.done_at, row.due_at, row.code = "dead", utcnow(), None, UNKNOWN_OUTCOME
        row.reason = f"the answer was lost, and what became of the request cannot be found out: {error}"[:500]


def _mark_user_inactive(session: Session, portal: Portal, user_id: int | None) -> None:
    """The portal says that this user is not active: stored, so that the fold chooses another user."""
    if user_id is None:
        return
    row = session.get(PortalUser, (portal.id, user_id))
    if row is None:
        session.add(PortalUser(portal_id=portal.id, user_id=user_id, active=False, name="", phones=[]))
    else:
        row.active = False
