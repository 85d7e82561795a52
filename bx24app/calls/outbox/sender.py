"""The delivering half of a drain: due deliveries -> REST requests -> answers on the rows. HTTP happens without a database connection.

What may leave is chosen in `parcels`. An intent is on disk before its request leaves (state `sent`), the answer right after. What
was lost on the way is looked for before it is repeated, since the portal is not idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from random import uniform
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bx24app.bitrix24 import commands as speech
from bx24app.bitrix24.batch_encoding import BatchRef as BatchRef
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.bitrix24.errors import AnswerLost, Gone, Later, NeedsAdmin, Refused
from bx24app.calls.outbox.batches import Batch, BatchItem
from bx24app.calls.outbox.verification import Verification
from bx24app.domain.calls.commands import MANGO_KINDS, AnyCommand, Ref
from bx24app.domain.calls.ledger import USER_INACTIVE
from bx24app.infra.logs import get_logger
from bx24app.models import Delivery, Portal, PortalUser, utcnow

_log = get_logger(__name__)

UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
"""Code of a delivery that died because nobody can tell whether it was carried out."""
BACKOFF = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900)
"""Seconds before the next try; a tenth of jitter is added, the portal's own reset time obeyed where it gives one."""


_DELIVERIES_BY_ID = select(Delivery).where(Delivery.id.in_(bindparam("ids", expanding=True)))
"""Made once: building a statement costs more than SQLite needs to answer it."""


@dataclass(slots=True)
class BatchOutcome:
    """What became of a parcel: an answer or an error for each item that was reached, or one error for all."""

    batch: Batch
    answers: dict[int, Any] = field(default_factory=dict)
    """delivery id -> raw result, or the exception that it met."""
    error: Exception | None = None
    verified_answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a look-up: command key -> facts of what has happened."""

    @property
    def is_unanswered(self) -> bool:
        """Did the portal itself not answer? Limits and times that it names are answers."""
        error = self.error
        return isinstance(error, Later) and not error.is_rate_limited and error.retry_after is None

    @property
    def blocking_error(self) -> NeedsAdmin | Gone | None:
        """What ends this portal's deliveries for now: met by the whole request, or by one command of a batch."""
        met = (self.error, *self.answers.values())
        return next((one for one in met if isinstance(one, NeedsAdmin | Gone)), None)


class _UnresolvedReference(Exception):
    """A command names a fact that the portal did not give, such as the activity of a call that made none."""


def send(client: Bitrix24Client, parcel: Batch) -> BatchOutcome:
    """Carry one parcel over HTTP. Never touches the database; every failure is in the outcome."""
    outcome = BatchOutcome(parcel)
    try:
        if parcel.verification is not None:
            _send_verification(client, parcel, parcel.verification, outcome)
        else:
            _send_commands(client, parcel, outcome)
    except Refused as error:
        if parcel.verification is None and len(parcel.items) == 1:
            outcome.answers[parcel.items[0].delivery_id] = error
        else:
            outcome.error = error
    except (Later, NeedsAdmin, Gone) as error:
        outcome.error = error
    return outcome


def _send_commands(client: Bitrix24Client, parcel: Batch, outcome: BatchOutcome) -> None:
    requests = _build_requests(parcel, outcome)
    if len(requests) == 1 and not parcel.is_shared:
        item, method, params = requests[0]
        outcome.answers[item.delivery_id] = client.call(method, params, parcel.priority, leave_by=parcel.leave_by).result
    elif requests:
        commands = [(item.batch_key, method, params) for item, method, params in requests]
        answers = client.batch(commands, halt=not parcel.is_shared, priority=parcel.priority, leave_by=parcel.leave_by)
        for item, _, _ in requests:
            if item.batch_key in answers:
                said = answers[item.batch_key]
                outcome.answers[item.delivery_id] = said.result if isinstance(said, RestResult) else said


def _send_verification(client: Bitrix24Client, parcel: Batch, lookup: Verification, outcome: BatchOutcome) -> None:
    """Only an answer that can be read says that something has not happened; a refusal says nothing."""
    said = client.call(lookup.method, lookup.params, parcel.priority, leave_by=parcel.leave_by).result
    try:
        outcome.verified_answers = lookup.parse_answer(said)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused("UNREADABLE", f"a look-up's answer has an unknown shape: {type(error).__name__}") from None


def _build_requests(parcel: Batch, outcome: BatchOutcome) -> list[tuple[BatchItem, str, dict[str, Any]]]:
    slots: dict[tuple[int, str], BatchItem] = {}
    made: list[tuple[BatchItem, str, dict[str, Any]]] = []
    for item in parcel.items:
        values = parcel.known_values.get(item.call_id, {})

        def resolve_ref(ref: Ref, item: BatchItem = item, values: dict[tuple[str, str], Any] = values) -> Any:
            for (key, fact), value in reversed(values.items()):
                if fact == ref.fact and key.partition("~")[0] == ref.key:
                    if value is None:
                        raise _UnresolvedReference(f"{ref.key} gave no {ref.fact}")
                    return value
            behind = slots.get((item.call_id, ref.key))
            if behind is None:
                raise _UnresolvedReference(f"{ref.key} gave no {ref.fact}")
            return BatchRef(behind.batch_key, speech.fact_path(behind.command, ref.fact))

        try:
            method, params = speech.build_request(item.command, resolve_ref)
        except _UnresolvedReference as missing:
            outcome.answers[item.delivery_id] = Refused("UNRESOLVED", str(missing))
            if not parcel.is_shared:
                break
            continue
        slots[item.call_id, item.command.key.partition("~")[0]] = item
        made.append((item, method, params))
    return made


def store_outcomes(session: Session, portal: Portal, *outcomes: BatchOutcome) -> set[int]:
    """Write what became of parcels on their rows. Returns the calls to fold again."""
    ids = [item.delivery_id for outcome in outcomes for item in outcome.batch.items]
    held = {row.id: row for row in session.scalars(_DELIVERIES_BY_ID, {"ids": ids})}
    return set().union(*(_write_outcome(session, portal, outcome, held) for outcome in outcomes))


def _write_outcome(session: Session, portal: Portal, outcome: BatchOutcome, held: dict[int, Delivery]) -> set[int]:
    rows = {number: row for number, row in held.items() if row.state == "sent" and row.sent_at == outcome.batch.claimed_at}
    items = [item for item in outcome.batch.items if item.delivery_id in rows]
    given_up = [(item, held.get(item.delivery_id)) for item in outcome.batch.items if item.delivery_id not in rows]
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
    failed: set[int] = set()
    for item in items:
        row = rows[item.delivery_id]
        said = outcome.answers.get(item.delivery_id, _NOT_REACHED)
        if item.call_id in failed or said is _NOT_REACHED:
            row.state, row.sent_at = (
                "waiting",
                None,
            )  # not executed, or behind one that failed: nothing is decided about it
            row.attempts -= 1
            continue
        if not _apply_answer(session, portal, row, item.command, said):
            failed.add(item.call_id)
    return late | {item.call_id for item in items}


_NOT_REACHED = object()


def _accept_late_answers(session: Session, portal: Portal, outcome: BatchOutcome, given_up: list[tuple[BatchItem, Delivery | None]]) -> set[int]:
    """Answers to requests that `recover` had given up. What was carried out is taken; all else is the matter of who holds the row now."""
    done: set[int] = set()
    for item, row in given_up:
        said = outcome.answers.get(item.delivery_id, _NOT_REACHED)
        open_ = row is not None and row.state in ("waiting", "sent") and outcome.batch.verification is None
        taken = open_ and said is not _NOT_REACHED and not isinstance(said, Exception)
        _log.warning("late answer", delivery=item.delivery_id, kind=type(item.command).__name__, taken=taken)
        if row is not None and taken:
            _apply_answer(session, portal, row, item.command, said)
            row.due_at = None
            done.add(item.call_id)
    return done


def _apply_answer(session: Session, portal: Portal, row: Delivery, command: AnyCommand, said: Any) -> bool:
    """One command's answer; False where it was not carried out (yet)."""
    if isinstance(said, Refused) and speech.is_harmless_refusal(command, f"{said.code} {said.description}"):
        said = {}
    if isinstance(said, Refused):
        row.state, row.done_at, row.code, row.reason = "dead", utcnow(), said.code, said.description
        if speech.is_about_user(command, said.description):
            row.code = USER_INACTIVE
        if row.code == USER_INACTIVE:
            _mark_user_inactive(session, portal, getattr(command, "user_id", getattr(command, "responsible", None)))
        _log.warning("delivery refused", delivery=row.id, kind=row.kind, code=said.code, reason=said.description)
        return False
    if isinstance(said, Exception):
        _reschedule_delivery(row, said)
        return False
    try:
        row.answer = speech.parse_answer(command, said)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        row.state, row.done_at, row.code = "dead", utcnow(), "UNREADABLE"
        row.reason = f"the portal's answer has an unknown shape: {type(error).__name__} {error}"[:500]
        return False
    row.state, row.done_at, row.uncertain = "done", utcnow(), False
    row.code, row.reason = None, None
    return True


def _reschedule_delivery(row: Delivery, error: Exception) -> None:
    """Later: back-off with jitter, or the time that the portal itself names. A lost answer is looked for first."""
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
    """A look-up's answer: what was found is done; what was not has not happened and may leave again."""
    for item in items:
        row = rows[item.delivery_id]
        row.attempts -= 1
        facts = outcome.verified_answers.get(item.command.key)
        if facts is None:
            row.state, row.uncertain, row.due_at, row.sent_at = "waiting", False, None, None
        else:
            row.state, row.uncertain, row.done_at, row.answer = "done", False, utcnow(), facts


def _give_up_unverified(row: Delivery, error: Refused) -> None:
    """The portal will not tell what became of a request. Repeating it might double it, so in the end a person decides."""
    if row.attempts >= len(BACKOFF):
        row.state, row.done_at, row.due_at, row.code = "dead", utcnow(), None, UNKNOWN_OUTCOME
        row.reason = f"the answer was lost, and what became of the request cannot be found out: {error}"[:500]


def _mark_user_inactive(session: Session, portal: Portal, user_id: int | None) -> None:
    """The portal says that this user is not active: remembered, so that the fold names somebody else."""
    if user_id is None:
        return
    row = session.get(PortalUser, (portal.id, user_id))
    if row is None:
        session.add(PortalUser(portal_id=portal.id, user_id=user_id, active=False, name="", phones=[]))
    else:
        row.active = False


def recover_lost_requests(session: Session, older_than: timedelta) -> set[int]:
    """Requests whose worker died: their answer is lost. Returns the portals to wake. What went to Mango is not among them: it would be
    carried out twice (`clicks.recover`)."""
    rows = session.scalars(
        select(Delivery).where(
            Delivery.state == "sent", Delivery.sent_at < utcnow() - older_than, Delivery.kind.not_in(MANGO_KINDS)
        )
    ).all()
    for row in rows:
        row.state, row.uncertain, row.sent_at, row.due_at = "waiting", True, None, None
        row.reason = "the worker ended before the answer came"
    return {row.portal_id for row in rows}


__all__ = ["BACKOFF", "UNKNOWN_OUTCOME", "BatchOutcome", "recover_lost_requests", "send", "store_outcomes"]
