"""What somebody asked for happens, although Redis is flushed before the job runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import update

from bx24app import jobs, settings
from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.calls import sweep
from bx24app.infra.queue import BACKGROUND
from bx24app.infra.runtime import runtime
from bx24app.models import Intent, Notice, Portal, PortalUser, Recording, db, utcnow
from bx24app.portals import external_lines, intents, lifecycle, sync
from tests.cli.test_journal import call
from tests.conftest import DOCUMENT
from tests.support.installations import change, installed, row, rows, w
from tests.support.stack import World

__all__ = ["w"]
LINE = "74950000001"


def save_settings(portal_id: int) -> None:
    settings.save_version(db.session.get_one(Portal, portal_id), DOCUMENT)
    db.session.commit()


def queued() -> list[tuple[str, list[int]]]:
    """Jobs of the background queue: name and arguments."""
    waiting = Queue(BACKGROUND, connection=runtime().redis, serializer=JSONSerializer).jobs
    return [(job.func_name.rpartition(".")[2], list(job.args)) for job in waiting]


def flush() -> None:
    runtime().redis.flushall()


def pass_time() -> None:
    """What was asked for was asked a minute ago."""
    db.session.execute(update(Intent).values(due_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()


def ring_and_work() -> None:
    """The sweep rings; then a worker does what is queued, and what that queues."""
    pass_time()
    sweep.sweep()
    while jobs_now := queued():
        flush()
        for name, arguments in jobs_now:
            getattr(jobs, name)(*arguments)


def _lines_follow(w: World, portal_id: int) -> Callable[[], object]:
    save_settings(portal_id)
    lifecycle.queue_line_sync(portal_id)
    return lambda: LINE in w.portal.external_lines


def _portal_is_looked_at(w: World, portal_id: int) -> Callable[[], object]:
    change(portal_id, looked_at=None)
    for due_id in sync.claim_due_syncs():
        intents.ring(due_id, "look")
    assert row(portal_id).looked_at is None, "the look writes it, not whoever queues the look"
    return lambda: rows(PortalUser, portal_id=portal_id) and row(portal_id).looked_at


def _installation_is_completed(w: World, portal_id: int) -> Callable[[], object]:
    """The installation itself has asked for the look (`installed`)."""
    return lambda: rows(PortalUser, portal_id=portal_id) and row(portal_id).looked_at


def _dismissed_are_told(w: World, portal_id: int) -> Callable[[], object]:
    save_settings(portal_id)
    jobs.lines(portal_id)
    db.session.merge(PortalUser(portal_id=portal_id, user_id=13, active=False, name="Left", phones=[]))
    db.session.commit()
    sync.fetch_users(portal_id)
    return lambda: rows(Notice, portal_id=portal_id)


def _everything_is_tried_again(w: World, portal_id: int) -> Callable[[], object]:
    save_settings(portal_id)
    jobs.lines(portal_id)
    made = call(db.session.get_one(Portal, portal_id), "lost")
    db.session.flush()
    recording = Recording(
        portal_id=portal_id, call_id=made.id, recording_id="r", bitrix_call_id="externalCall.1", state="lost"
    )
    db.session.add(recording)
    intents.ask(portal_id, "try_again", user_id=1)
    db.session.commit()
    intents.ring(portal_id, "try_again", user_id=1)
    return lambda: rows(Recording, state="waiting")


@pytest.mark.parametrize(
    "ask_for",
    [
        _lines_follow,
        _portal_is_looked_at,
        _installation_is_completed,
        _dismissed_are_told,
        _everything_is_tried_again,
    ],
)
def test_it_happens_although_redis_forgot_it(w: World, ask_for: Callable[[World, int], Callable[[], object]]) -> None:
    portal_id = installed(w)
    if ask_for is not _installation_is_completed:
        jobs.look(portal_id)
    flush()
    has_happened = ask_for(w, portal_id)
    assert queued() or ask_for is _installation_is_completed, "a job makes it happen soon"
    flush()
    assert not has_happened()
    ring_and_work()
    assert has_happened()
    assert rows(Intent) == [], "done: nothing rings any more"


def test_it_rings_more_slowly_while_nobody_works(w: World) -> None:
    portal_id = installed(w)
    pauses = []
    for _ in range(8):
        pass_time()
        sweep.sweep()
        [intent] = rows(Intent, portal_id=portal_id)
        pauses.append(round((intent.due_at - utcnow()).total_seconds() / 60))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_lines_that_need_an_administrator_are_not_given_up(w: World) -> None:
    portal_id = installed(w)
    jobs.look(portal_id)
    save_settings(portal_id)
    w.portal.switches.switch_on("payment_required")
    jobs.lines(portal_id)
    assert row(portal_id).state == "needs_admin"
    flush()
    pass_time()
    sweep.sweep()
    assert queued() == [], "the portal is left alone until it accepts requests"
    w.portal.switches.switch_off()
    lifecycle.resume(portal_id)
    ring_and_work()
    assert LINE in w.portal.external_lines


def test_lines_are_tried_again_where_the_portal_does_not_answer(w: World) -> None:
    portal_id = installed(w)
    jobs.look(portal_id)
    save_settings(portal_id)
    w.portal.switches.switch_on("http502")
    jobs.lines(portal_id)
    [intent] = rows(Intent, job="lines")
    assert timedelta(seconds=50) < intent.due_at - utcnow() <= external_lines.MINUTE
    w.portal.switches.switch_off()
    ring_and_work()
    assert LINE in w.portal.external_lines


def test_a_line_that_the_portal_has_lost_comes_back_with_the_daily_look(w: World) -> None:
    portal_id = installed(w)
    save_settings(portal_id)
    jobs.lines(portal_id)
    w.portal.external_lines.clear()
    flush()
    jobs.look(portal_id)
    ring_and_work()
    assert LINE in w.portal.external_lines


def test_a_wish_that_comes_while_the_job_runs_is_not_lost(w: World) -> None:
    portal_id = installed(w)
    with intents.carry_out(portal_id, "look"):
        intents.ask(portal_id, "look")
        db.session.commit()
    [intent] = rows(Intent, job="look")
    assert (intent.owner, intent.due_at <= utcnow()) == (None, True)


def test_a_job_that_raises_runs_again(w: World) -> None:
    portal_id = installed(w)
    with pytest.raises(NeedsAdmin), intents.carry_out(portal_id, "look"):
        raise NeedsAdmin("payment")
    [intent] = rows(Intent, job="look")
    assert timedelta(minutes=9) < intent.due_at - utcnow() <= intents.AFTER_ERROR
