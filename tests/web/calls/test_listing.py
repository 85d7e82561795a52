"""The journal's filters, windows, exports; what did not get through, and trying it again."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from bx24app.calls import replay
from bx24app.calls.journal import search
from bx24app.calls.journal.search import CallFilter, Cursor
from bx24app.domain.calls import command_json, commands
from bx24app.domain.settings import LineSettings, PbxSettings, Rule, Settings
from bx24app.infra import queue
from bx24app.models import Audit, Call, CallPerson, Delivery, Notification, Portal, Recording, SetAside, db, utcnow
from bx24app.web.base import session
from bx24app.web.calls import timeline_texts
from tests.support.frame_pages import Frame, frame, has
from tests.web.calls.test_calls import add_call
from tests.web.conftest import claim

__all__ = ["frame"]
DOCUMENT = Settings(
    pbxs=(
        PbxSettings(key="moscow", name="Moscow", lines=(LineSettings(number="74951234567", name="Main"),)),
        PbxSettings(key="spb", name="Petersburg"),
    )
)


def entries(said: str) -> list[str]:
    """The calls of a page in their order."""
    return [piece.split('"')[0] for piece in said.split('data-entry="')[1:]]


def below(said: str) -> str:
    """Address of the next rows."""
    found = said.partition('hx-get="/frame/calls/more')[2].split('"')[0]
    return "/frame/calls/more" + unescape(found) if found else ""


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("direction=out", ["entry-2"]),
        ("direction=callback", ["entry-3"]),
        ("line=78120000000", ["entry-3"]),
        ("pbx=spb", ["entry-3"]),
        ("employee=12", ["entry-2"]),
        ("employee=77", ["entry-3"]),
        ("employee=11&direction=out", []),
        ("problems=1", ["entry-1", "entry-4"]),
        ("problems=1&pbx=spb", []),
        ("q=916&direction=out", ["entry-2"]),
        ("since=nonsense&employee=x&direction=sideways", ["entry-1", "entry-2", "entry-3", "entry-4"]),
    ],
)
def test_filters_by_themselves_and_together(frame: Frame, portal: int, query: str, found: list[str]) -> None:
    with frame.site.app_context():
        first = add_call(portal, 1, user_id=11, users=[11])
        add_call(portal, 2, direction="out", user_id=11, users=[12], responsible_id=None)
        add_call(
            portal,
            3,
            direction="callback",
            pbx_key="spb",
            line_number="78120000000",
            user_id=None,
            users=[],
            responsible_id=77,
        )
        add_call(portal, 4, state="dead", user_id=None, users=[])
        db.session.add(Recording(portal_id=portal, call_id=first.id, recording_id="r", state="lost"))
        db.session.commit()
        db.session.query(Call).filter_by(entry_id="entry-2").one().user_id = None  # the talker is corrected
        db.session.commit()
    assert entries(frame.get(f"/frame/calls?{query}")) == found
    assert entries(frame.get(f"/frame/calls/list?{query}")) == found


def test_days_are_days_of_the_portal(frame: Frame, portal: int) -> None:
    """23:30 in Moscow is 20:30 UTC: the day is the portal's."""
    with frame.site.app_context():
        for number, at in enumerate(("2026-03-01T20:30", "2026-03-01T21:30", "2026-03-02T20:59", "2026-03-02T21:00")):
            add_call(portal, number, started_at=datetime.fromisoformat(at).replace(tzinfo=UTC))
        db.session.commit()
    assert entries(frame.get("/frame/calls?since=2026-03-02&until=2026-03-02")) == ["entry-2", "entry-1"]
    assert entries(frame.get("/frame/calls?until=2026-03-01")) == ["entry-0"]
    assert entries(frame.get("/frame/calls?since=2026-03-03")) == ["entry-3"]
    assert len(entries(frame.get("/frame/calls?until=9999-12-31"))) == 4


def test_a_sparse_filter_looks_at_a_window_and_goes_on_from_there(
    frame: Frame, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN_LIMIT", 40)
    with frame.site.app_context():
        for number in range(1, 131):
            add_call(portal, number, direction="out" if number in (39, 125) else "in")
        db.session.commit()
    seen, path, pages = [], "/frame/calls?direction=out", 0
    while path:
        said = frame.get(path)
        seen += entries(said)
        path, pages = below(said), pages + 1
        assert has(said, "looked") == bool(path)
        if path and not entries(said):
            assert 'hx-trigger="click, load' in said, "it goes on by itself"
    assert seen == ["entry-39", "entry-125"]
    assert pages == 4
    assert has(said, "end") or entries(said)


def test_a_filter_survives_its_address() -> None:
    wanted = CallFilter(
        q="+7 916",
        pbx="spb",
        line="7812",
        direction="in",
        outcome="missed",
        employee=7,
        since=date(2026, 1, 2),
        until=date(2026, 2, 3),
        problems=True,
    )
    assert CallFilter.from_params(wanted.as_params()) == wanted
    assert CallFilter.from_params(dict(parse_qsl(urlencode(wanted.as_params())))) == wanted
    assert CallFilter().as_params() == {}
    assert CallFilter.from_params({"employee": "9" * 30, "outcome": "gift", "q": " "}) == CallFilter()
    place = Cursor(datetime(2026, 3, 1, 12, tzinfo=UTC), 5)
    assert Cursor.from_text(str(place)) == place
    assert [Cursor.from_text(text) for text in ("", "x", "2026-03-01_5", "2026-03-01T12:00:00+00:00_x")] == [None] * 4


PLANS = {
    "": "ix_call_portal_started",
    "direction=callback": "ix_call_portal_started",
    "pbx=spb": "ix_call_pbx_latest",
    "line=78120000000": "ix_call_line_latest",
    "problems=1": "ix_call_problem",
    "q=%2B79160000001": "ix_call_portal_client",
    "employee=5": "ix_call_person_latest",
    "employee=5&outcome=missed": "ix_call_person_latest",
}


@pytest.mark.parametrize(("query", "index"), PLANS.items())
def test_each_filter_follows_its_index_and_sorts_nothing(frame: Frame, portal: int, query: str, index: str) -> None:
    wanted, told = CallFilter.from_params(dict(parse_qsl(query))), []
    place = Cursor(utcnow(), 10**6)
    with frame.site.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *said: told.append(said[2:4]))
        for at in (None, place):
            search.find_calls(db.session(), portal, wanted, "Europe/Moscow", None, at)
        plans = []
        for statement, values in told:
            if statement.startswith("SELECT"):
                rows = db.session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)
                plans.append(" | ".join(str(row[-1]) for row in rows))
    assert plans
    for plan in plans:
        assert index in plan, plan
        assert "SCAN" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan


def test_whose_call_it_is_follows_the_call(frame: Frame, portal: int) -> None:
    def people(number: int) -> set[int]:
        return set(db.session.scalars(select(CallPerson.user_id).where(CallPerson.call_id == number)))

    with frame.site.app_context():
        row = add_call(portal, 1, user_id=11, users=[11, 12], responsible_id=13)
        db.session.commit()
        assert people(row.id) == {11, 12, 13}
        row.users, row.user_id = [14], 14
        db.session.commit()
        assert people(row.id) == {13, 14}
        row.problem = "something else"
        db.session.commit()
        assert people(row.id) == {13, 14}
        db.session.delete(row)
        db.session.commit()
        assert db.session.query(CallPerson).count() == 0


def test_who_talked_before_a_transfer_sees_the_call(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        add_call(portal, 1, user_id=8, users=[7, 8])
        add_call(portal, 2, user_id=8, users=[8])
        db.session.commit()
    header = claim(site, portal, admin=False)
    for path in ("/frame/calls", "/frame", "/frame/calls/list", "/frame/calls?employee=8"):
        assert entries(client.get(path, headers=header).text) == ["entry-1"], path
    assert 'name="employee"' not in client.get("/frame/calls", headers=header).text
    said = client.get("/frame", headers=header).text
    assert has(said, "not-admin")
    assert has(said, "filter")


def download(client: FlaskClient, frame_headers: dict[str, str], path: str) -> str:
    """Asks for the ticket as the page's script does."""
    said = client.post(path, headers=frame_headers)
    assert said.status_code == 200, said.text
    return str(said.get_json()["url"])


def test_an_export_is_the_filtered_list(frame: Frame, site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        for number in (1, 2, 3):
            add_call(
                portal,
                number,
                outcome="missed" if number == 2 else "answered",
                users=[7] if number == 3 else [8],
                user_id=None,
            )
        db.session.commit()
    url = download(client, frame._headers, "/frame/calls/export/csv?outcome=missed")
    said = client.get(url)
    assert said.headers["Content-Disposition"].startswith('attachment; filename="calls-')
    assert said.text.startswith("\ufeff")
    [row] = csv.DictReader(io.StringIO(said.text[1:]))
    assert (row["entry_id"], row["outcome"], json.loads(row["users"])) == ("entry-2", "missed", [8])
    lines = client.get(download(client, frame._headers, "/frame/calls/export/jsonl")).text.splitlines()
    assert [json.loads(line)["entry_id"] for line in lines] == ["entry-3", "entry-2", "entry-1"]
    own = download(client, claim(site, portal, admin=False), "/frame/calls/export/jsonl")
    assert [json.loads(line)["entry_id"] for line in client.get(own).text.splitlines()] == ["entry-3"]


def test_a_ticket_is_for_one_filter_only(frame: Frame, site: Flask, client: FlaskClient, portal: int) -> None:
    url = download(client, claim(site, portal, admin=False), "/frame/calls/export/csv?outcome=missed")
    assert client.get(url).text.startswith("\ufeffentry_id")
    for bad in (url.replace("outcome=missed", "outcome=answered"), url.replace("&outcome=missed", ""), url.replace("/own.", "/all."), url.replace(".csv", ".jsonl"), url.split("?")[0], url + "x"):  # fmt: skip  # noqa: E501
        assert client.get(bad).status_code == 401, bad
    with site.app_context():
        db.session.query(Portal).one().state = "removed"
        db.session.commit()
    assert client.get(url).status_code == 404


@pytest.fixture
def stuck(frame: Frame, portal: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A call with a refused, an unrepeatable and a waiting step, a lost recording, an unreadable notification. Nothing
    is woken.
    """
    monkeypatch.setattr(queue, "wake_portal", lambda *_, **__: None)
    monkeypatch.setattr(queue, "wake_recordings", lambda *_, **__: None)
    frame.save(DOCUMENT)
    with frame.site.app_context():
        call = add_call(portal, 1, state="dead", problem="no rights", pbx_key="moscow")
        made = {"portal_id": portal, "call_id": call.id, "command": {}}
        refused = Delivery(**made, key="finish", kind="Finish", state="dead", code="ACCESS_DENIED", reason="no rights")
        card = Delivery(**made, key="card", kind="ShowCard", state="dead", reason="too late")
        later = utcnow() + timedelta(minutes=5)
        waits = Delivery(**made, key="todo", kind="AddTodo", state="waiting", due_at=later, attempts=3, reason="busy")
        tape = Recording(
            portal_id=portal, call_id=call.id, recording_id="tape", state="lost", problem="4002", bitrix_call_id="x"
        )
        note = Notification(
            portal_id=portal,
            pbx_id=1,
            dialect="vpbx",
            name="events/call",
            entry_id="entry-1",
            dedup_key="1",
            body='{"a": "<b>"}',
            state="rejected",
            reason="no call_state",
        )
        db.session.add_all((refused, card, waits, tape, note))
        failed = Notification(portal_id=portal, pbx_id=1, dialect="vpbx", name="events/call", entry_id="entry-2",
                              dedup_key="2", body='{"b": 1}', state="rejected", reason="KeyError")  # fmt: skip
        db.session.add(failed)
        db.session.flush()
        aside = SetAside(portal_id=portal, kind="notification", row_id=failed.id, entry_id="entry-2", version="0",
                         reason="KeyError in calls/fold/call_fold.py:1")  # fmt: skip
        db.session.add(aside)
        db.session.commit()
        return {
            "call": call.id,
            "dead": refused.id,
            "card": card.id,
            "waiting": waits.id,
            "recordings": tape.id,
            "rejected": note.id,
            "set_aside": aside.id,
            "failed": failed.id,
        }


def test_what_is_stuck_is_one_click_away(frame: Frame, stuck: dict[str, int]) -> None:
    said = frame.get("/frame/calls")
    for kind in ("dead", "waiting", "recordings", "rejected", "set_aside"):
        assert has(said, f"stuck-{kind}")
        page = frame.get(f"/frame/stuck/{kind}")
        assert has(page, f"stuck-{stuck[kind]}")
        assert has(page, f"again-{stuck[kind]}")
    dead = frame.get("/frame/stuck/dead")
    assert "a right is missing (ACCESS_DENIED: no rights)" in unescape(dead)
    assert not has(dead, f"stuck-{stuck['card']}"), "what belongs to the moment is not offered again"
    assert "next attempt" in frame.get("/frame/stuck/waiting")
    rejected = frame.get("/frame/stuck/rejected")
    assert "no call_state" in rejected
    assert "&lt;b&gt;" in rejected, "as it came, and harmless"
    assert not has(rejected, f"stuck-{stuck['failed']}"), "what the app failed on has a list of its own"
    assert "Error of the app: KeyError in calls/fold/call_fold.py:1" in frame.get("/frame/stuck/set_aside")


def test_nothing_is_stuck(frame: Frame) -> None:
    assert has(frame.get("/frame/calls"), "stuck-none")
    for kind in ("dead", "waiting", "recordings", "rejected", "set_aside"):
        assert has(frame.get(f"/frame/stuck/{kind}"), f"none-{kind}")


def test_one_call_is_tried_again(frame: Frame, stuck: dict[str, int]) -> None:
    assert has(frame.get(f"/frame/calls/{stuck['call']}"), "stopped")
    said = frame.post(f"/frame/calls/{stuck['call']}/again", {})
    assert has(said, "stopped"), "now it waits"
    with frame.site.app_context():
        rows = {row.id: row for row in db.session.query(Delivery)}
        assert rows[stuck["dead"]].state == "waiting"
        assert rows[stuck["card"]].state == "dead"
        assert rows[stuck["waiting"]].due_at is None
        assert db.session.get_one(Call, stuck["call"]).state == "open"
        audit = db.session.query(Audit).filter_by(what="replayed").one()
        assert (audit.source, audit.user_id) == ("frame", 7)


def test_everything_is_tried_again_in_the_background(
    frame: Frame, stuck: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(queue, "enqueue_background", lambda *said, **_: asked.append(said))
    assert "Starting" in report_of(frame.post("/frame/stuck/all", {}))
    assert asked == [("try_again", frame.portal, 7)]
    with frame.site.app_context():
        replay.retry_everything(frame.portal, replay.Actor("frame", 7))
        assert db.session.get_one(Delivery, stuck["dead"]).state == "waiting"
        tape = db.session.get_one(Recording, stuck["recordings"])
        assert (tape.state, tape.due_at is not None) == ("waiting", True)
        assert db.session.get_one(Call, stuck["call"]).lost is False
    assert has(frame.get("/frame/stuck/dead"), "none-dead")
    page = frame.get("/frame/stuck/recordings")
    assert has(page, "none-recordings")
    report = report_of(page)
    assert "every 3s" in report
    assert report.count("1 queued: 0 delivered, 0 failed again, 1 waiting") == 2, "the call and the recording"
    assert "1 given back" in report
    assert "1 action is not repeated" in report, "the card"


def report_of(page: str) -> str:
    return unescape(page.partition('<section id="retry-report"')[2].partition("</section>")[0])


def test_a_retry_tells_what_came_of_it(frame: Frame, stuck: dict[str, int]) -> None:
    with frame.site.app_context():
        replay.retry_everything(frame.portal, replay.Actor("frame", 7))
        row = db.session.get_one(Delivery, stuck["dead"])
        row.state, row.code, row.reason, row.done_at = "dead", "ACCESS_DENIED", "still no rights", utcnow()
        db.session.query(Delivery).filter(Delivery.state == "waiting").update({"state": "done"})
        recording = db.session.get_one(Recording, stuck["recordings"])
        recording.state, recording.due_at = "attached", None
        db.session.commit()
    report = report_of(frame.get("/frame/stuck/report"))
    assert "1 queued: 0 delivered, 1 failed again, 0 waiting" in report
    assert "1 queued: 1 delivered, 0 failed again, 0 waiting" in report
    assert "still no rights" in report
    assert "every" not in report, "nothing can change any more"
    with frame.site.app_context():
        db.session.get_one(Recording, stuck["recordings"]).state = "lost"
        db.session.commit()
    report = report_of(frame.get("/frame/stuck/report"))
    assert report.count("1 queued: 0 delivered, 1 failed again, 0 waiting") == 2, "the recording failed again too"


def test_a_retry_at_a_portal_that_refuses_says_what_it_waits_for(frame: Frame, stuck: dict[str, int]) -> None:
    with frame.site.app_context():
        replay.retry_everything(frame.portal)
        db.session.query(Portal).update({"state": "needs_admin", "trouble": "payment"})
        db.session.commit()
    assert "as soon as Bitrix24 accepts the application again" in report_of(frame.get("/frame/stuck/dead"))


def test_what_waits_is_hurried_and_what_was_unreadable_is_read_again(frame: Frame, stuck: dict[str, int]) -> None:
    assert "1 queued" in report_of(frame.post("/frame/stuck/hurry", {}))
    assert has(frame.post(f"/frame/stuck/read/{stuck['rejected']}", {}), "begun")
    assert has(frame.post(f"/frame/calls/recordings/{stuck['recordings']}/again?list=1", {}), "none-recordings")
    with frame.site.app_context():
        assert db.session.get_one(Delivery, stuck["waiting"]).due_at is None
        assert db.session.get_one(Notification, stuck["rejected"]).state == "new"


def test_what_the_app_failed_on_is_given_back(frame: Frame, stuck: dict[str, int]) -> None:
    assert has(frame.post(f"/frame/stuck/again/{stuck['set_aside']}", {}), "none-set_aside")
    with frame.site.app_context():
        assert db.session.get_one(Notification, stuck["failed"]).state == "new"
        assert db.session.query(Audit).filter_by(what="replayed").one().facts == {"set_aside": 1}


def test_only_administrators_of_this_portal_try_again(
    frame: Frame, site: Flask, client: FlaskClient, stuck: dict[str, int]
) -> None:
    someone = claim(site, frame.portal, admin=False, user_id=11)
    assert client.get(f"/frame/calls/{stuck['call']}", headers=someone).status_code == 200
    for path, status in ((f"/frame/calls/{stuck['call']}/again", 404), ("/frame/stuck/all", 403), ("/frame/stuck/hurry", 403)):  # fmt: skip  # noqa: E501
        assert client.post(path, headers=someone).status_code == status
    with site.app_context():
        other = Portal(
            member_id="o" * 32, domain="o", client_endpoint="https://o/rest/", server_endpoint="", client_id="l"
        )
        db.session.add(other)
        db.session.commit()
        stranger = {session.HEADER: session.issue(session.FrameSession(other.id, other.member_id, 7, True))}
    assert client.post(f"/frame/calls/{stuck['call']}/again", headers=stranger).status_code == 404
    assert client.post(f"/frame/stuck/read/{stuck['rejected']}", headers=stranger).status_code == 200
    assert client.post(f"/frame/stuck/again/{stuck['set_aside']}", headers=stranger).status_code == 404
    assert client.post(f"/frame/stuck/again/{stuck['set_aside']}", headers=someone).status_code == 403
    for kind in ("dead", "waiting", "recordings", "rejected", "set_aside"):
        assert has(client.get(f"/frame/stuck/{kind}", headers=stranger).text, f"none-{kind}")
    with site.app_context():
        assert db.session.get_one(Notification, stuck["rejected"]).state == "rejected"
        assert db.session.get_one(Notification, stuck["failed"]).state == "rejected"


def test_long_lists_go_on_below(frame: Frame, portal: int, stuck: dict[str, int]) -> None:
    with frame.site.app_context():
        for number in range(60):
            db.session.add(
                Delivery(
                    portal_id=portal, call_id=stuck["call"], key=f"k{number}", kind="Finish", command={}, state="dead"
                )
            )
        db.session.commit()
    said = frame.get("/frame/stuck/dead")
    more = unescape(said.partition('hx-get="/frame/stuck/dead?below=')[2].split('"')[0])
    assert more
    rest = frame.get(f"/frame/stuck/dead?below={more}")
    assert (said + rest).count('data-testid="stuck-') == 61 + said.count('data-testid="stuck-rows"')
    assert "<nav" not in rest


def test_the_time_line_tells_decision_request_and_answer(frame: Frame, portal: int) -> None:
    with frame.site.app_context():
        call = add_call(portal, 1, reason=1110, ended_at=utcnow())
        at = call.started_at
        for kind, state, answer in (("Register", "done", {"call_id": "externalCall.1", "record": {"entity": "contact", "id": 9}}), ("Finish", "waiting", None)):  # fmt: skip  # noqa: E501
            command = command_json.to_json(_command(kind))
            db.session.add(
                Delivery(
                    portal_id=portal,
                    call_id=call.id,
                    key=kind,
                    kind=kind,
                    command=command,
                    state=state,
                    answer=answer,
                    created_at=at,
                    sent_at=at + timedelta(seconds=1),
                    done_at=at + timedelta(seconds=1.5) if answer else None,
                )
            )
        body = json.dumps({"call_state": "Disconnected", "to": {"extension": "101"}, "disconnect_reason": 1110})
        db.session.add(
            Notification(
                portal_id=portal,
                pbx_id=1,
                dialect="vpbx",
                name="events/call",
                entry_id="entry-1",
                dedup_key="1",
                body=body,
                received_at=at,
            )
        )
        db.session.commit()
        number = call.id
    said = unescape(frame.get(f"/frame/calls/{number}"))
    trace = said.partition('data-testid="trace"')[2]
    for words in ("Register the call; Finish the call", "telephony.externalCall.register", "call externalCall.1, client: contact 9; 0.50 s", "waiting for delivery", "ended, 101"):  # fmt: skip  # noqa: E501
        assert words in trace, words
    assert trace.index("Decided") < trace.index("externalCall.1")
    assert 'data-testid="why"' in said


def _command(kind: str) -> commands.AnyCommand:
    if kind == "Register":
        return commands.Register(key=kind, user_id=1, number="+7", type=2, started_at=0, line=None, external_id="e")
    return commands.Finish(key=kind, user_id=1, seconds=0, status="200")


def test_every_command_has_words() -> None:
    kinds = {one.__name__ for one in commands.Command.__subclasses__()}
    assert kinds - set(timeline_texts._COMMAND_TEXTS) == set()


def test_the_rules_of_the_call_are_shown_as_they_were_held_against_it(frame: Frame, portal: int) -> None:
    rules = (
        Rule(name="Second office", when={"pbx": "spb"}, do=({"nothing": {}},)),
        Rule(name="Missed at night", when={"outcome": "missed", "hours": "off"}, do=({"nothing": {}},)),
        Rule(name="The rest", do=({"nothing": {}},)),
    )
    frame.save(DOCUMENT.model_copy(update={"rules": rules}))
    with frame.site.app_context():
        version = db.session.get_one(Portal, portal).settings_version_id
        seen = {"moment": "end", "direction": "in", "outcome": "missed", "pbx": "moscow", "hours": "off"}
        call = add_call(portal, 1, rule="Missed at night", settings_version_id=version, facts={"seen": seen})
        other = add_call(portal, 2)
        db.session.commit()
        numbers = call.id, other.id
    said = unescape(frame.get(f"/frame/calls/{numbers[0]}"))
    part = said.partition('data-testid="rules"')[2].partition("</section>")[0]
    assert [verdict in part for verdict in ("does not match", "matched", "a rule above applies")] == [True] * 3
    assert part.index("Second office") < part.index("Missed at night") < part.index("The rest")
    assert "Petersburg" in part
    assert "this call: Moscow" in part
    assert not has(frame.get(f"/frame/calls/{numbers[1]}"), "rules")
