"""Callbacks that a CRM form asks for: ordered from Mango through the line, registered when the first employee rings,
told when refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.models import Notification, db
from bx24app.sandbox.bitrix.state import LEAD
from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.plans import ANSWERS, BUSY, NO_ANSWER, REJECTS, Party
from tests.support.click_offices import ANNA, KRASNODAR, MOSCOW, PICKS_UP_LATER, VERA, Offices, number, offices
from tests.support.stack import World, until

SHOP = "74950000002"


@pytest.fixture
def both(earth: World) -> Iterator[Offices]:
    made = offices(earth)
    made.plan()
    yield made
    made.earth.mango.rest_faults.clear()


def test_through_the_group_of_the_line(both: Offices) -> None:
    client = number()
    both.plan(parties={"102": NO_ANSWER}, others=ANSWERS)
    both.form(client, line=MOSCOW)
    (row,) = both.finished(client)
    assert (row.type, row.user_id, row.failed_code, row.duration, row.portal_number) == (4, ANNA, "200", 7, MOSCOW)
    (sent,) = both.dialled(client)
    assert (sent["from"], sent["to"], sent["line_number"]) == ("500", client[1:], MOSCOW)
    call = both.call(client)
    assert (call["direction"], call["outcome"], call["state"]) == ("callback", "answered", "finished")


@pytest.mark.parametrize(
    ("line", "extension", "caller_id", "user"),
    [(SHOP, "101", SHOP, ANNA), (KRASNODAR, "201", KRASNODAR, VERA)],
    ids=["callback_to an extension", "nothing set: the first employee"],
)
def test_through_an_extension(both: Offices, line: str, extension: str, caller_id: str, user: int) -> None:
    client = number()
    both.form(client, line=line)
    (row,) = both.finished(client)
    assert (row.type, row.user_id, row.failed_code, row.portal_number) == (4, user, "200", line)
    (sent,) = both.dialled(client)
    assert (sent["from"], sent["line_number"]) == ({"extension": extension}, caller_id)


def test_registered_when_the_first_employee_rings(both: Offices) -> None:
    client = number()
    both.plan(speed=50, parties={"101": PICKS_UP_LATER})
    both.form(client, line=SHOP)
    both.ringing(client)
    live = both.earth.portal.calls
    until(lambda: [c for c in live.values() if c.phone.lstrip("+") == client[1:]], lambda: str(both.state(client)))
    (call,) = [c for c in list(live.values()) if c.phone.lstrip("+") == client[1:]]
    assert (call.type, call.user_id, call.line) == (4, ANNA, SHOP)
    both.form(client, line=SHOP, text="hurry")  # an impatient client presses the button again
    until(lambda: rejected(both, client), "the second wish was not taken")
    both.pick_up(client, "101")
    (row,) = both.finished(client)
    assert (row.call_id, row.failed_code) == (call.call_id, "200")
    assert len(both.dialled(client)) == 1


def rejected(both: Offices, client: str) -> bool:
    with both.earth.app.app_context():
        rows = db.session.query(Notification).filter(Notification.body.contains(client))
        found = rows.filter_by(state="rejected", reason="this number is being called back already").count()
        db.session.rollback()
        return bool(found)


def test_the_record_of_the_form_gets_the_call(both: Offices) -> None:
    client = number()
    both.earth.sandbox.call(both.earth.add_client, "lead", client)
    table = both.earth.portal.crm.records[LEAD]
    lead = next(record.id for record in table.values() if client in record.phones)
    both.form(client, line=SHOP, entity=(LEAD, lead))
    (row,) = both.finished(client)
    assert (row.type, row.primary) == (4, (LEAD, lead))


@pytest.mark.parametrize(
    ("party", "code"), [(NO_ANSWER, "304"), (BUSY, "486"), (REJECTS, "603")], ids=lambda x: str(x)[:9]
)
def test_the_client_does_not_answer(both: Offices, party: Party, code: str) -> None:
    client = number()
    both.plan(parties={client[1:]: party}, others=ANSWERS)
    both.form(client, line=SHOP)
    (row,) = both.finished(client)
    assert (row.type, row.user_id, row.failed_code, row.duration) == (4, ANNA, code, 0)
    assert row.failed_reason
    until(lambda: both.notices_to(ANNA, client), lambda: str(both.state(client)))
    both.rest()
    (said,) = both.notices_to(ANNA, client)
    assert row.failed_reason in said


def test_nobody_of_the_group_picks_up(both: Offices) -> None:
    client = number()
    both.plan(parties={"101": NO_ANSWER, "102": NO_ANSWER}, others=ANSWERS)
    both.form(client, line=MOSCOW)
    (row,) = both.finished(client)
    assert (row.type, row.failed_code, row.duration) == (4, "304", 0)
    assert both.call(client)["outcome"] == "failed"
    until(lambda: both.notices_to(VERA, client), lambda: str(both.state(client)))
    both.rest()
    assert len(both.notices_to(VERA, client)) == 1, "the line's responsible hears that the client waits"


@pytest.mark.parametrize(
    ("line", "path", "told"), [(MOSCOW, "commands/callback_group", VERA), (SHOP, "commands/callback", 9)]
)
def test_refused_by_mango(both: Offices, line: str, path: str, told: int) -> None:
    client = number()
    with both.broken(path, "code", 2240):
        both.form(client, line=line)
        until(lambda: both.notices_to(told, client), lambda: str(both.state(client)))
    both.rest()
    assert len(both.notices_to(told, client)) == 1
    call = both.call(client)
    assert (call["state"], call["outcome"], call["problem"]) == ("finished", "failed", both.notices_to(told, client)[0])
    assert not both.rows(client)
    both.form(client, line=line, text="again")  # the next wish of the same client is dialled again
    assert both.finished(client)[0].failed_code == "200"


def test_lost_and_never_seen_again(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", lambda *_, **__: None)
    with both.broken("commands/callback", "close-after"):
        both.form(client, line=SHOP)
        until(lambda: both.dial(client) == ("done", {"lost": True}), lambda: str(both.state(client)))
    both.later(client, 21)
    until(lambda: both.notices_to(9, client), lambda: str(both.state(client)))
    both.rest()
    assert len(both.dialled(client)) == 1
    assert both.call(client)["outcome"] == "failed"


def test_a_number_that_cannot_be_dialled_is_told(both: Offices) -> None:
    both.form("123", line=MOSCOW)
    until(lambda: both.notices_to(VERA, "123"), "nobody was told")
    both.rest()
