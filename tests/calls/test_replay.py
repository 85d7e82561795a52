"""`bx24app replay`: what may be tried again, what must stay dead, what a wrong command says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from bx24app.calls import drain, replay
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Dial, Finish, Notify, Register, ShowCard
from bx24app.models import Audit, Call, Delivery, Notification, Portal, Recording, db, utcnow
from tests.calls.fold.test_portal_fold import tell
from tests.calls.inbox.test_receiver import post
from tests.cli.test_journal import AT, call, told
from tests.conftest import make_portal
from tests.support import commands

FINISH = Finish(key="finish", user_id=11, seconds=62, status="200")
REGISTER = Register(
    key="register",
    user_id=11,
    number="+79160000001",
    type=2,
    started_at=1,
    line=None,
    external_id="moscow:E1",
    show=True,
)


@pytest.fixture
def environ(app: Flask) -> dict[str, str]:
    return commands.environment_of(app.extensions["bx24app"].config)


def refused(of: Call, command: Any, code: str = "ERROR_CORE", **more: Any) -> int:
    row = Delivery(
        portal_id=of.portal_id, call_id=of.id, key=command.key, kind=type(command).__name__, command=to_json(command),
        **{"state": "dead", "code": code, "reason": "refused so", "attempts": 3, "sent_at": AT, "done_at": AT, **more},
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


def states() -> dict[str, str]:
    found = {row.key: row.state for row in db.session.query(Delivery).order_by(Delivery.id)}
    db.session.rollback()
    return found


def test_dead_deliveries_wait_again_with_all_their_tries(app: Flask, portal_id: int) -> None:
    made = call(db.session.get_one(Portal, portal_id), "E1", state="dead", problem="refused so")
    refused(made, FINISH)
    db.session.commit()
    assert replay.retry_dead(portal_id) == replay.RetryResult(deliveries=1, calls=1, still_dead=0)
    row, revived = db.session.query(Delivery).one(), db.session.query(Call).one()
    assert (row.state, row.attempts, row.due_at, row.code, row.reason, row.uncertain) == (
        "waiting",
        0,
        None,
        None,
        None,
        False,
    )
    assert (revived.state, revived.problem) == ("open", None)
    audit = db.session.query(Audit).filter_by(what="replayed").one()
    assert (audit.portal_id, audit.source, audit.facts) == (portal_id, "cli", {"deliveries": 1, "calls": 1})
    assert app.extensions["bx24app"].redis.zcard("wakeups:calls") == 1
    db.session.rollback()
    assert replay.retry_dead(portal_id) == replay.RetryResult(0, 0, 0)


def test_what_belongs_to_its_moment_stays_dead(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    made = call(portal, "E1")
    refused(made, Dial(key="dial", command_id="bx24-1", to_number="+79160000001"))
    refused(made, ShowCard(key="show", users=(11,)))
    refused(made, REGISTER, "USER_INACTIVE")
    refused(made, Register(**{**to_json(REGISTER), "key": "register~2"}), state="done", code=None)
    refused(made, Notify(key="notify", user_id=11, text="Hello"), code=None)
    db.session.commit()
    assert replay.retry_dead(portal_id) == replay.RetryResult(1, 1, 3)
    assert states() == {
        "dial": "dead", "show": "dead", "register": "dead", "register~2": "done", "notify": "waiting",
    }  # fmt: skip


@pytest.mark.parametrize("over", [True, False])
def test_no_card_opens_for_a_call_that_is_over(app: Flask, portal: Portal, over: bool) -> None:
    portal_id = portal.id
    refused(call(portal, "E1", ended_at=AT + timedelta(seconds=60) if over else None), REGISTER)
    db.session.commit()
    replay.retry_dead(portal_id)
    assert db.session.query(Delivery).one().command == {**to_json(REGISTER), "show": not over}


def test_what_never_left_is_decided_anew(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    made = call(portal, "E1", state="dead")
    refused(made, REGISTER)
    refused(made, FINISH, "UNRESOLVED")
    db.session.commit()
    assert replay.retry_dead(portal_id) == replay.RetryResult(2, 1, 0)
    assert states() == {"register": "waiting"}
    assert db.session.query(Call).one().due_at is not None


def test_a_click_without_legs_rings_no_alarm_for_ever(app: Flask, portal_id: int) -> None:
    held = {"state": "dead", "command_id": "bx24-1", "client_number": "+79160000001"}
    refused(call(db.session.get_one(Portal, portal_id), "click:bx24-1", **held), FINISH)
    db.session.commit()
    replay.retry_dead(portal_id)
    drain.drain(portal_id)
    found = db.session.query(Call).one()
    assert (found.state, found.due_at) == ("open", None)


def test_what_was_carried_out_is_looked_for_first(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    refused(call(portal, "E1"), FINISH, "UNREADABLE")
    db.session.commit()
    replay.retry_dead(portal_id)
    assert db.session.query(Delivery).one().uncertain


def test_a_recording_given_up_with_its_call_waits_for_it_again(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    made = call(portal, "E1", state="dead")
    refused(made, FINISH)
    held = {"portal_id": portal_id, "call_id": made.id, "state": "lost", "problem": "so"}
    db.session.add(Recording(recording_id="with the call", **held))
    db.session.add(Recording(recording_id="by itself", bitrix_call_id="externalCall.1", **held))
    db.session.commit()
    replay.retry_dead(portal_id)
    assert {row.recording_id: row.state for row in db.session.query(Recording)} == {
        "with the call": "waiting",
        "by itself": "lost",
    }


def test_many_in_steps_and_one_call_alone(app: Flask, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ROWS_PER_TRANSACTION", 2)
    portal_id = portal.id
    calls = [call(portal, f"E{number}", problem="its own words") for number in range(3)]
    for made in calls:
        refused(made, FINISH)
        refused(made, Notify(key="notify", user_id=11, text="Hello"))
    theirs = make_portal("b" * 32)
    refused(call(theirs, "theirs"), FINISH)
    first = calls[0].id
    db.session.commit()
    assert replay.retry_dead(portal_id, first) == replay.RetryResult(2, 1, 0)
    assert replay.retry_dead(portal_id) == replay.RetryResult(4, 2, 0)
    assert db.session.query(Delivery).filter_by(state="dead").count() == 1
    assert {row.problem for row in db.session.query(Call).filter_by(portal_id=portal_id)} == {"its own words"}


def test_notifications_are_run_again_also_unread_ones(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "incoming_answered_by_group")
    entry_id = db.session.query(Notification.entry_id).limit(1).scalar()
    db.session.query(Notification).filter_by(name="events/summary").update({"state": "rejected", "reason": "unread"})
    db.session.commit()
    drain.drain(portal_id)
    assert db.session.query(Call).one().outcome is None
    before = db.session.query(Notification).count()
    db.session.commit()
    assert replay.replay_entry(portal_id, entry_id) == replay.ReplayResult(1, before)
    drain.drain(portal_id)
    assert (db.session.query(Call).one().outcome, {row.state for row in db.session.query(Notification)}) == (
        "answered",
        {"handled"},
    )
    told_twice = [row.key for row in db.session.query(Delivery).order_by(Delivery.id)]
    assert told_twice == ["register", "finish"]


def test_a_call_of_which_only_notifications_are_left(app: Flask, portal_id: int, hook: str) -> None:
    assert post(hook) == 200
    [row] = db.session.query(Notification)
    entry_id, row.state = row.entry_id, "handled"
    db.session.commit()
    assert replay.replay_entry(portal_id, entry_id) == replay.ReplayResult(0, 1)
    drain.drain(portal_id)
    assert db.session.query(Call).one().entry_id == entry_id


def test_the_words_of_the_command(environ: dict[str, str], portal: Portal) -> None:
    made = call(portal, "E1")
    told(made, "events/call", 0)
    refused(made, FINISH)
    refused(made, Dial(key="dial", command_id="bx24-1", to_number="+79160000001"))
    call(portal, "pruned")
    db.session.commit()
    base = ["replay", "--portal", portal.member_id]
    db.session.rollback()
    ran = commands.run(environ, *base, "--dead")
    paused = "the portal is paused: nothing is sent to it until that ends"
    assert (ran.exit_code, ran.output.splitlines()) == (
        0,
        [
            "1 dead delivery of 1 call tried again; 1 left dead: a dial command or a card that is too late, or one that was replaced for another employee",  # noqa: E501
            paused,
        ],
    )
    ran = commands.run(environ, *base, "--call", "E1")
    assert (ran.exit_code, ran.output.splitlines()) == (0, ["1 notification run again", paused])
    for wrong, words in (
        (["--call", "nobody"], "no call nobody in this portal"),
        (["--call", "pruned"], "no notification of the call pruned is stored"),
        ([], "give either --call ENTRY_ID or --dead"),
        (["--dead", "--call", "E1"], "give either --call ENTRY_ID or --dead"),
    ):
        ran = commands.run(environ, *base, *wrong)
        assert (ran.exit_code, words in ran.output) == (2, True), ran.output


def test_portals_to_which_nothing_can_be_told(environ: dict[str, str], portal: Portal) -> None:
    member_id = portal.member_id
    portal.state, portal.removed_at = "removed", utcnow()
    db.session.commit()
    ran = commands.run(environ, "replay", "--portal", member_id, "--dead")
    assert (ran.exit_code, "has removed the app" in ran.output) == (2, True)
    ran = commands.run(environ, "replay", "--portal", "nobody", "--dead")
    assert (ran.exit_code, "no portal with the member_id nobody" in ran.output) == (2, True)
