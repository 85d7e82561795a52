"""The overview: what is wrong and what to do about it, figures, and the newest call step by step."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from bx24app.calls.recordings.outcomes import DISK_FULL
from bx24app.domain.settings import LineSettings, Settings
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.mango.errors import ADDRESS_REFUSED, AddressRefused
from bx24app.models import Call, Delivery, Dictionary, Notification, Pbx, Recording, db, utcnow
from tests.support.frame_pages import Frame, frame
from tests.web.conftest import claim

__all__ = ["frame"]


def connected(frame: Frame) -> None:
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", lines=(LineSettings(number="74951234567"),)),)))


def states(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-testid="tick-(\w+)" data-state="(\w+)"', page))


def call(frame: Frame, number: int = 1, **columns: Any) -> int:
    with frame.site.app_context():
        pbx = db.session.query(Pbx).one()
        row = Call(
            portal_id=pbx.portal_id,
            pbx_id=pbx.id,
            pbx_key=pbx.key,
            entry_id=f"entry{number}",
            started_at=utcnow() - timedelta(seconds=60 - number),
            **{"state": "finished", "direction": "in", "outcome": "answered", "users": [7], "crm": [], **columns},
        )
        db.session.add(row)
        db.session.commit()
        return row.id


def add(frame: Frame, *rows: Any) -> None:
    with frame.site.app_context():
        db.session.add_all(rows)
        db.session.commit()


def test_the_newest_call_lights_up_step_by_step(frame: Frame) -> None:
    connected(frame)
    assert states(frame.get("/frame")) == {}
    assert "every 2s" in frame.get("/frame/ticks")
    number = call(frame, state="open", outcome=None, users=[])
    assert states(frame.get("/frame/ticks")) == {
        "notification": "done",
        "signature": "done",
        "employee": "busy",
        "card": "busy",
        "activity": "busy",
        "recording": "busy",
    }
    portal_id = frame.portal
    add(
        frame,
        Delivery(
            portal_id=portal_id, call_id=number, key="register", kind="Register", command={"show": True}, state="done"
        ),
    )
    with frame.site.app_context():
        row = db.session.get_one(Call, number)
        row.state, row.outcome, row.users, row.activity_id = "finished", "answered", [7], 9
        db.session.commit()
    assert states(frame.get("/frame/ticks"))["recording"] == "busy"
    add(
        frame,
        Recording(
            portal_id=portal_id,
            call_id=number,
            recording_id="r",
            state="attached",
            attached_at=utcnow(),
            lag_seconds=42,
        ),
    )
    page = frame.get("/frame/ticks")
    assert set(states(page).values()) == {"done"}
    assert "every 2s" not in page, "nothing more can come"
    assert "42" in frame.get("/frame"), "how long recordings take"


def test_a_call_without_employee_or_card_says_so(frame: Frame) -> None:
    connected(frame)
    call(frame, users=[], activity_id=9)
    found = states(frame.get("/frame/ticks"))
    assert (found["employee"], found["card"], found["activity"]) == ("failed", "failed", "done")


def test_refused_notifications_are_told_from_the_third_in_a_row_until_one_is_accepted(frame: Frame) -> None:
    connected(frame)
    with frame.site.app_context():
        row = db.session.query(Pbx).one()
        row.api_key, row.api_salt, hook = "key", "salt", row.hook_key
        db.session.commit()

    def banner(salt: str) -> str:
        """What the overview says after a notification that is signed with this salt."""
        call = {"entry_id": "e", "call_id": "c", "timestamp": 1705308600, "seq": 1, "call_state": "Appeared"}
        body = json.dumps(call)
        sign = hashlib.sha256(f"key{body}{salt}".encode()).hexdigest()
        form = {"vpbx_api_key": "key", "sign": sign, "json": body}
        answer = frame.site.test_client().post(f"/mango/{hook}/events/call", data=form)
        assert answer.status_code == (200 if salt == "salt" else 403)
        return frame.get("/frame").partition('data-testid="trouble-key"')[2].partition("</section>")[0]

    banners = [banner("new salt") for _ in range(3)]
    assert banners[:2] == ["", ""]
    assert 'hx-get="/frame/pbxs/moscow/edit"' in banners[2], "a button leads to the keys"
    assert "Enter the keys" in banners[2]
    assert [banner(salt) for salt in ("salt", "new salt", "new salt")] == ["", "", ""], "one accepted ends the row"


def test_calls_without_a_summary_are_told(frame: Frame) -> None:
    connected(frame)
    for number in range(4):
        call(frame, number)
    assert 'data-testid="trouble-summary"' not in frame.get("/frame"), "four may be chance"
    call(frame, 4)
    assert 'data-testid="trouble-summary"' in frame.get("/frame")
    with frame.site.app_context():
        pbx = db.session.query(Pbx).one()
        db.session.add(
            Notification(
                portal_id=pbx.portal_id,
                pbx_id=pbx.id,
                dialect="vpbx",
                name="events/summary",
                entry_id="entry3",
                dedup_key="s",
                body="{}",
            )
        )
        db.session.commit()
    assert 'data-testid="trouble-summary"' not in frame.get("/frame")


def routed(frame: Frame, number: int, state: str, code: str | None, result: int = 0) -> None:
    """A client who was to be sent to their manager; `result`: of the notification that follows, if any."""
    call_id = call(frame, number)
    shared = {"portal_id": frame.portal, "call_id": call_id}
    command_id = f"bx24-route-{number}"
    command = {"command_id": command_id}
    add(frame, Delivery(key="route", kind="Route", command=command, state=state, code=code, **shared))
    if result:
        with frame.site.app_context():
            pbx_id = db.session.query(Pbx.id).scalar()
        body = f'{{"command_id": "{command_id}", "result": {result}}}'
        named = {"name": "result/route", "command_id": command_id, "dedup_key": command_id, "dialect": "vpbx"}
        add(frame, Notification(portal_id=frame.portal, pbx_id=pbx_id, body=body, **named))


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (("dead", "4101", 0), True),
        (("done", None, 4100), True),  # accepted first, taken back by the result
        (("done", None, 1000), False),
        (("done", None, 0), False),
        (("dead", "429", 0), False),
    ],
)
def test_clients_who_never_reach_their_managers_are_told(
    frame: Frame, last: tuple[str, str | None, int], told: bool
) -> None:
    line = LineSettings(number="74951234567", route="owner")
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", lines=(line,)),)))
    for number in range(2):
        routed(frame, number, "dead", "4100")
    assert 'data-testid="trouble-route"' not in frame.get("/frame"), "two may be chance"
    routed(frame, 2, *last)
    assert ('data-testid="trouble-route"' in frame.get("/frame")) is told
    connected(frame)
    assert 'data-testid="trouble-route"' not in frame.get("/frame"), "no line sends clients to managers any more"


def test_what_mango_refuses_us_is_told(frame: Frame) -> None:
    connected(frame)
    with frame.site.app_context():
        db.session.query(Pbx).one().ask_problem = "5201"
        db.session.commit()
    page = frame.get("/frame")
    assert 'data-testid="trouble-mango"' in page
    assert "5201" in page


def test_a_refused_address_is_told_with_the_address_and_the_switches(
    frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(frame)
    with frame.site.app_context():
        db.session.query(Pbx).one().ask_problem = str(AddressRefused(ADDRESS_REFUSED))
        db.session.commit()
    page = frame.get("/frame")
    assert 'data-testid="trouble-address"' in page
    assert "this server’s address" in page
    runtime = frame.site.extensions["bx24app"]
    known = runtime.config.model_copy(update={"outgoing_addresses": ("203.0.113.7", "203.0.113.8")})
    monkeypatch.setattr(runtime, "config", known)
    page = frame.get("/frame")
    assert "allow the address 203.0.113.7, 203.0.113.8." in page
    assert "“PBX services” and “Statistics”" in page


def test_events_of_version_one_are_told_after_three_transfers(frame: Frame) -> None:
    connected(frame)

    def told() -> bool:
        return 'data-testid="trouble-version"' in frame.get("/frame")

    for number in range(2):
        call(frame, number, users=[7, 8])
    call(frame, 5, users=[7])
    assert not told(), "two may be chance"
    call(frame, 6, users=[7, 9])
    assert told()
    with frame.site.app_context():
        pbx = db.session.query(Pbx).one()
        leg = {
            "portal_id": pbx.portal_id,
            "pbx_id": pbx.id,
            "dialect": "vpbx",
            "name": "events/call",
            "entry_id": "entry1",
        }
        db.session.add(Notification(**leg, dedup_key="t", body='{"call_state":"Appeared","transfer":"blind"}'))
        db.session.commit()
    assert not told(), "a leg names the transfer: version 2"


def test_another_application_on_the_same_lines_is_named(frame: Frame) -> None:
    connected(frame)
    add(frame, Dictionary(portal_id=frame.portal, content={"rivals": {"Other phones": 2}}))
    page = frame.get("/frame")
    assert "Other phones also reports these calls to Bitrix24" in page
    assert "2 calls of the last day are there twice." in page


def test_a_trouble_names_the_pbx_as_people_do(frame: Frame) -> None:
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", name="Head office"),)))
    with frame.site.app_context():
        db.session.query(Pbx).one().ask_problem = "5201"
        db.session.commit()
    assert "Head office: Mango Office does not answer" in frame.get("/frame")


def test_employees_do_not_see_it(frame: Frame, client: FlaskClient) -> None:
    connected(frame)
    said = client.get("/frame/ticks", headers=claim(frame.site, frame.portal, admin=False))
    assert said.status_code == 403


def test_what_the_statistics_found_is_a_figure_here_and_a_metric(frame: Frame) -> None:
    connected(frame)
    with frame.site.app_context():
        db.session.query(Pbx).update({"lost_found": 7})
        db.session.commit()
    assert re.search(r'data-testid="lost-moscow">7<', frame.get("/frame"))
    assert "bx24app_lost_found_total 7.0" in frame._client.get("/metrics").text


def figure(page: str, name: str) -> int:
    return int(re.search(rf'data-testid="{name}"[^>]*>(\d+)<', page).group(1))  # type: ignore[union-attr]


def test_wrong_signatures_and_strangers_are_figures_of_their_pbx(frame: Frame) -> None:
    connected(frame)
    call(frame, 1, unmapped="105")
    call(frame, 2, unmapped="105,106")
    call(frame, 3)
    call(frame, 4 - 8 * 86400, unmapped="105")
    with frame.site.app_context():
        db.session.query(Pbx).one().refused_count = 4
        db.session.commit()
    page = frame.get("/frame")
    assert (figure(page, "refused-moscow"), figure(page, "unmapped-moscow")) == (4, 2)


def test_a_full_disk_and_refused_deliveries_are_told_until_they_are_mended(frame: Frame) -> None:
    connected(frame)
    number = call(frame)
    assert "trouble-disk" not in frame.get("/frame")
    add(
        frame,
        Recording(portal_id=frame.portal, call_id=number, recording_id="r", due_at=utcnow(), problem=DISK_FULL),
        Delivery(
            portal_id=frame.portal,
            call_id=number,
            key="finish",
            kind="Finish",
            command={},
            state="dead",
            code="ERROR_CORE",
        ),
        Delivery(
            portal_id=frame.portal,
            call_id=number,
            key="card",
            kind="ShowCard",
            command={},
            state="dead",
            code="ERROR_CORE",
        ),
    )
    page = frame.get("/frame")
    assert 'data-testid="trouble-disk"' in page
    assert "Free some space" in page
    assert "Bitrix24 refused 1 action" in page, "a card whose moment is over is nobody's task"
    with frame.site.app_context():
        db.session.query(Recording).update({"problem": None})
        db.session.query(Delivery).update({"state": "done"})
        db.session.commit()
    page = frame.get("/frame")
    assert "trouble-disk" not in page
    assert "trouble-dead" not in page
