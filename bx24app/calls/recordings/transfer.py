"""USE CASE: one recording from Mango's cloud to its call in Bitrix24, streaming both ways, by the plan of BX24APP_RECORDING_RETRY.

One try = ask Mango for the file, spool it, attach it (`attaching`). The spool keeps a fetched file until it is attached, since Mango's
link is one-shot. After a lost answer the portal is asked whether it has the file before it is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import uniform

from sqlalchemy import func, select, update

from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls.recordings import attachment, attempts, download
from bx24app.calls.recordings.attachment import DISK_FULL
from bx24app.calls.recordings.attempts import Attempt, next_file_name
from bx24app.calls.recordings.download import RetryLater, Unrecoverable
from bx24app.infra import circuit_breaker, queue, tracing
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Recording, db, utcnow
from bx24app.models.locking import portal_lock
from bx24app.models.problem_codes import RecordingProblem
from bx24app.portals import clients

_log = get_logger(__name__)

MAX_SPREAD_SECONDS = 120.0
"""Seconds by which a wait for the portal's budget is spread at the most; whoever has a turn takes others along."""


def transfer_recording(recording_id: int) -> None:
    """One try for one recording (row id); does nothing where it is not due, already attached, or in other hands."""
    errand = attempts.claim_recording(recording_id)
    if errand is None:
        return
    try:
        pause = circuit_breaker.of_portal(errand.portal_id).read_state().pause
        if pause > 0:
            raise RetryLater("the portal has not answered lately", pause, is_counted=False)
        client = clients.client_by_id(errand.portal_id)
        file_id = attachment.find_attached(client, errand) if errand.is_upload_uncertain else None
        if file_id is None:
            if errand.is_upload_uncertain:
                errand = replace(errand, file_name=next_file_name(errand.file_name))
            with tracing.call_span("fetch recording", errand.portal_id, errand.entry_id):
                download.fetch_to_spool(errand.source, errand.spool_file)
            if errand.is_small:
                _attach_batch(client, errand)
                return
            with tracing.call_span("attach recording", errand.portal_id, errand.entry_id):
                file_id = attachment.upload(client, errand)
    except RetryLater as error:
        _schedule_retry(errand, error)
    except Unrecoverable as error:
        _mark_lost(errand, str(error))
    else:
        _mark_attached(errand.portal_id, [(errand, file_id)])


def _attach_batch(client: Bitrix24Client, errand: Attempt) -> None:
    """This one, and what else was fetched here and waits for the portal's budget, in one request; whoever is left comes next.

    Raises: NotNow
    """
    attachment.wait_for_turn(client)
    company, left = attempts.batch_with(errand)
    entries = [one.entry_id for one in company]
    with tracing.shared_span("attach recording", errand.portal_id, entries, **{"bx24app.recordings": len(company)}):
        try:
            said = attachment.attach_batch(client, company)
        except BaseException:
            db.session.rollback()
            attempts.release_claims(company)
            raise
    _mark_attached(errand.portal_id, [(one, met) for one, met in said if isinstance(met, int)])
    for one, met in said:
        if isinstance(met, RetryLater):
            _schedule_retry(one, met)
    if left is not None:
        queue.wake_recording(left)


def _schedule_retry(errand: Attempt, why: RetryLater) -> None:
    if not why.is_budget_wait:
        _record_failed_try(errand, str(why), why.after_seconds, counts=why.is_counted, code=why.code)
        return
    # It only stands in line: nothing of its call is touched, so the portal's lock, for which its drains wait, is left to them.
    due = utcnow() + timedelta(seconds=_turn_delay(errand, why.after_seconds or 0.5))
    line = update(Recording).where(Recording.id == errand.id, Recording.claimed_at == errand.claimed_at)
    db.session.execute(line.values(claimed_at=None, problem=str(why), problem_code=why.code, due_at=due))
    db.session.commit()
    db.session.remove()
    queue.wake_recording(errand.id, due)


def _mark_attached(portal_id: int, done: Sequence[tuple[Attempt, int]]) -> None:
    now = utcnow()
    with portal_lock(portal_id) as (session, _):
        for errand, file_id in done:
            row = session.get_one(Recording, errand.id)
            row.state, row.file_id, row.attached_at, row.due_at, row.claimed_at = "attached", file_id, now, None, None
            row.problem, row.problem_code, row.attempted = None, None, False
            row.lag_seconds = round((now - row.noticed_at).total_seconds(), 3) if row.noticed_at else None
    for errand, _file in done:
        errand.spool_file.unlink(missing_ok=True)
        _log.info("recording attached", recording=errand.id, portal=portal_id)


def _turn_delay(errand: Attempt, after: float) -> float:
    """Seconds until this one asks for the portal's budget again: all that wait spread over the time that the budget needs for them,
    or hundreds would ask at every drop of it."""
    rate = clients.portal_budget(errand.portal_id).rate or 1.0
    soon = utcnow() + timedelta(minutes=1)
    waiting = select(func.count()).where(
        Recording.portal_id == errand.portal_id,
        Recording.state == "waiting",
        Recording.bitrix_call_id.is_not(None),
        Recording.due_at <= soon,
    )
    others: int = db.session.scalar(waiting) or 0
    db.session.remove()
    return after + uniform(0, min(others / rate, MAX_SPREAD_SECONDS))  # noqa: S311 - jitter, not a secret


def _record_failed_try(errand: Attempt, why: str, after: float | None, *, counts: bool, code: RecordingProblem | None = None) -> None:
    plan = runtime().config.recording_retry
    with portal_lock(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        if row.claimed_at != errand.claimed_at:
            return
        row.claimed_at, row.problem, row.problem_code = None, why[:500], code
        row.tries += 1 if counts else 0
        if row.tries >= len(plan):
            row.state, row.due_at = "lost", None
        else:
            row.due_at = utcnow() + timedelta(seconds=max(after or 0.5, plan[row.tries] if counts else 0))
        due, state = row.due_at, row.state
    if state == "lost":
        errand.spool_file.unlink(missing_ok=True)
        _log.warning("recording lost", recording=errand.id, portal=errand.portal_id, why=why)
    if due is not None:
        queue.wake_recording(errand.id, due)


def _mark_lost(errand: Attempt, why: str) -> None:
    with portal_lock(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        if row.claimed_at != errand.claimed_at:
            return
        row.state, row.due_at, row.claimed_at, row.problem, row.problem_code = "lost", None, None, why[:500], None
    errand.spool_file.unlink(missing_ok=True)
    _log.warning("recording lost", recording=errand.id, portal=errand.portal_id, why=why)


def try_again(portal_id: int, recording_id: int) -> bool:
    """A person asks for another try of a lost recording; False where it is not one of this portal's."""
    with portal_lock(portal_id) as (session, _):
        row = session.scalars(
            select(Recording).where(Recording.portal_id == portal_id, Recording.id == recording_id)
        ).first()
        if row is None or row.state not in ("lost", "waiting") or row.bitrix_call_id is None:
            return False
        row.state, row.due_at, row.tries, row.claimed_at = (
            "waiting",
            utcnow(),
            len(runtime().config.recording_retry) - 1,
            None,
        )
    queue.wake_recording(recording_id)
    return True


__all__ = ["DISK_FULL", "next_file_name", "transfer_recording", "try_again"]
