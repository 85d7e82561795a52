"""USE CASE: one recording from Mango's cloud to its call in Bitrix24, by the plan of BX24APP_RECORDING_RETRY.

`turns` chooses the recording. One try: claim the row (`attempts`), fetch the file into the spool (`download`), attach
it (`attachment`), store what became of it. What an error means is decided in `outcomes`; rows are written here. The
spool keeps a fetched file until it is attached, because Mango's link works once. After a lost answer the portal is
asked whether it has the file before the file is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import uniform

from sqlalchemy import func, select, update

from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls.recordings import attachment, attempts, download, failed_recordings, outcomes, unconfirmed
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.outcomes import Attached, BudgetWait, FailedTry, Lost, Outcome, Postponed
from bx24app.infra import circuit_breaker, queue, tracing
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row
from bx24app.infra.runtime import runtime
from bx24app.models import Recording, db, utcnow
from bx24app.models.locking import portal_lock
from bx24app.models.patience import store_patiently
from bx24app.portals import clients, lifecycle

_log = get_logger(__name__)

MAX_SPREAD_SECONDS = 120.0
"""Longest time over which waits for the portal's budget are spread. A recording whose turn it is takes others along."""


def transfer_recording(recording_id: int) -> bool:
    """One try for one recording (row id); False: it is not due, or another worker has it.

    A recording on which the program fails is set aside: the turn goes on with the others. One that met a failure of the
    machinery is given back.
    """
    attempt = None
    try:
        attempt = attempts.claim_recording(recording_id)
        if attempt is not None:
            _carry_out(attempt)
    except Exception as error:
        db.session.rollback()
        if not blames_row(error):
            if attempt is not None:
                claimed = attempt
                store_patiently(lambda: attempts.release_claims([claimed]))
            raise
        failed_recordings.set_recording_aside(recording_id, error)
        return True
    return attempt is not None


def _carry_out(attempt: Attempt) -> None:
    pause = circuit_breaker.of_portal(attempt.portal_id).read_state().pause
    if pause > 0:
        _store(attempt, Postponed("the portal has not answered lately", pause))
        return
    client = clients.client_by_id(attempt.portal_id)
    if attempt.is_upload_uncertain:
        outcome = attachment.find_attached(client, attempt)
        if outcome is not None:
            _store(attempt, outcome)
            return
        attempt = replace(attempt, file_name=attempts.next_file_name(attempt.file_name))
    with tracing.call_span("fetch recording", attempt.portal_id, attempt.entry_id):
        failure = unconfirmed.wait_for_file(attempt) or download.fetch_to_spool(attempt.source, attempt.spool_file)
        unconfirmed.remember_answer(attempt, failure)
        if failure is not None:
            tracing.mark_failed(failure.reason)
    if failure is not None:
        _store(attempt, failure)
    elif attempt.is_small:
        _attach_with_others(client, attempt)
    else:
        with tracing.call_span("attach recording", attempt.portal_id, attempt.entry_id):
            outcome = attachment.upload(client, attempt)
            if not isinstance(outcome, Attached):
                tracing.mark_failed(outcome.reason)
        _store(attempt, outcome)


def _attach_with_others(client: Bitrix24Client, attempt: Attempt) -> None:
    """This recording, and what else was fetched here and waits for the portal's budget, in one request; the next one
    left is woken.
    """
    budget_wait = attachment.wait_for_budget(client)
    if budget_wait is not None:
        _store(attempt, budget_wait)
        return
    batch, next_recording_id = attempts.batch_with(attempt)
    entries = [member.entry_id for member in batch]
    with tracing.shared_span("attach recording", attempt.portal_id, entries, **{"bx24app.recordings": len(batch)}):
        try:
            results = attachment.attach_batch(client, batch)
        except BaseException:
            db.session.rollback()
            attempts.release_claims(batch)
            raise
    attached = [(member, result) for member, result in results if isinstance(result, Attached)]
    store_patiently(lambda: _store_attached(attempt.portal_id, attached))
    for member, result in results:
        if not isinstance(result, Attached):
            _store(member, result)
    if next_recording_id is not None:
        queue.wake_recordings(attempt.portal_id)


def _store(attempt: Attempt, outcome: Outcome) -> None:
    """Write on the row what became of the try. The row is this process's, so it waits until the database is back."""
    store_patiently(lambda: _store_once(attempt, outcome))


def _store_once(attempt: Attempt, outcome: Outcome) -> None:
    match outcome:
        case Attached():
            _store_attached(attempt.portal_id, [(attempt, outcome)])
        case BudgetWait():
            _store_budget_wait(attempt, outcome)
        case Postponed() | FailedTry() | Lost():
            _store_failure(attempt, outcome)


def _store_attached(portal_id: int, results: Sequence[tuple[Attempt, Attached]]) -> None:
    """All of a request at once. If one row raises, each for itself: the portal has the files of all of them."""
    try:
        _write_attached(portal_id, results)
    except Exception as error:
        if not blames_row(error):
            raise
        if len(results) == 1:
            failed_recordings.set_recording_aside(results[0][0].id, error)
            return
        for result in results:
            _store_attached(portal_id, [result])


def _write_attached(portal_id: int, results: Sequence[tuple[Attempt, Attached]]) -> None:
    now = utcnow()
    with portal_lock(portal_id) as (session, _):
        for attempt, attached in results:
            row = session.get(Recording, attempt.id)
            if row is None:
                continue  # its call was erased meanwhile
            row.state, row.file_id, row.attached_at = "attached", attached.file_id, now
            row.due_at, row.claimed_at = None, None
            row.problem, row.problem_code, row.attempted = None, None, False
            row.lag_seconds = round((now - row.noticed_at).total_seconds(), 3) if row.noticed_at else None
    for attempt, _attached in results:
        attempt.spool_file.unlink(missing_ok=True)
        _log.info("recording attached", recording=attempt.id, portal=portal_id)


def _store_budget_wait(attempt: Attempt, outcome: BudgetWait) -> None:
    """Nothing of the call is touched, so the portal's lock is left to the drains that wait for it."""
    due = utcnow() + timedelta(seconds=_budget_delay(attempt, outcome.seconds or outcomes.MIN_RETRY_SECONDS))
    mine = update(Recording).where(Recording.id == attempt.id, Recording.claimed_at == attempt.claimed_at)
    values = {"claimed_at": None, "problem": outcome.reason, "problem_code": outcome.code, "due_at": due}
    db.session.execute(mine.values(**values))
    db.session.commit()
    db.session.remove()
    queue.wake_recordings(attempt.portal_id, due)


def _budget_delay(attempt: Attempt, seconds: float) -> float:
    """Seconds until this recording asks for the portal's budget again.

    All that wait are spread over the time that the budget needs for them; else hundreds would ask for every request
    that becomes free.
    """
    rate = clients.portal_budget(attempt.portal_id).rate or 1.0
    soon = utcnow() + timedelta(minutes=1)
    waiting = select(func.count()).where(
        Recording.portal_id == attempt.portal_id,
        Recording.state == "waiting",
        Recording.bitrix_call_id.is_not(None),
        Recording.due_at <= soon,
    )
    others: int = db.session.scalar(waiting) or 0
    db.session.remove()
    return seconds + uniform(0, min(others / rate, MAX_SPREAD_SECONDS))  # noqa: S311 - jitter, not a secret


def _store_failure(attempt: Attempt, failure: Postponed | FailedTry | Lost) -> None:
    blocking_error = failure.blocking_error if isinstance(failure, Postponed) else None
    if blocking_error is not None:
        lifecycle.mark_needs_admin(attempt.portal_id, blocking_error)
    with portal_lock(attempt.portal_id) as (session, _):
        row = session.get(Recording, attempt.id)
        if row is None or row.claimed_at != attempt.claimed_at:
            return  # its call was erased, or another worker has it
        row.claimed_at, row.problem = None, failure.reason[:500]
        row.problem_code = failure.code if isinstance(failure, Postponed) else None
        row.tries += isinstance(failure, FailedTry)
        seconds = outcomes.seconds_until_retry(failure, row.tries, runtime().config.recording_retry)
        due = row.due_at = None if seconds is None else utcnow() + timedelta(seconds=seconds)
        if due is None:
            row.state = "lost"
    if due is not None:
        queue.wake_recordings(attempt.portal_id, due)
        return
    attempt.spool_file.unlink(missing_ok=True)
    _log.warning("recording lost", recording=attempt.id, portal=attempt.portal_id, why=failure.reason)


def try_again(portal_id: int, recording_id: int) -> bool:
    """Try a lost recording once more, because a person asks for it.

    False: it is not one of this portal's, or its call has no place for it.
    """
    with portal_lock(portal_id) as (session, _):
        mine = select(Recording).where(Recording.portal_id == portal_id, Recording.id == recording_id)
        row = session.scalars(mine).first()
        if row is None or row.state not in ("lost", "waiting") or row.bitrix_call_id is None:
            return False
        row.state, row.due_at, row.claimed_at = "waiting", utcnow(), None
        row.tries = len(runtime().config.recording_retry) - 1
    queue.wake_recordings(portal_id)
    return True
