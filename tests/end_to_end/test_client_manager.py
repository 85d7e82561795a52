"""A waiting client is sent to their own manager, through the sandbox's PBX; the command leaves at most once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bx24app.calls import click_to_call
from bx24app.calls.outbox import lost_requests
from bx24app.domain.settings import Settings
from bx24app.models import Delivery, db, utcnow
from bx24app.sandbox.mango import Party
from tests.support.broker import MOSCOW, SILENT, Broker, document

WAITS = {"speed": 1.0, "ivr": 6.0, "talk": 1.0, "record_delay": 0.5, "parties": {"102": Party(0.5)}}


def routed(broker: Broker, **line: Any) -> None:
    settings = document().model_dump(by_alias=True, mode="json")
    settings["pbxs"][0]["lines"][0].update({"route": "owner", **line})
    broker.rule(Settings.model_validate(settings))


def known(broker: Broker, client: str, owner: int) -> None:
    broker.earth.sandbox.call(broker.earth.add_client, "contact", f"+{client}")
    for record in broker.records(f"+{client}"):
        record.fields["assignedById"] = owner


def commands(broker: Broker) -> list[tuple[str, int]]:
    """(state, attempts) of everything that asked Mango to route."""
    with broker.earth.app.app_context():
        found = [
            (row.state, row.attempts)
            for row in db.session.query(Delivery).filter_by(kind="Route").order_by(Delivery.id)
        ]
        db.session.rollback()
        return found


def test_the_manager_gets_the_client(broker: Broker) -> None:
    routed(broker)
    client = "79163330001"
    known(broker, client, 12)
    before = len(commands(broker))
    number, entry = broker.ring(MOSCOW, client=client, **WAITS)
    broker.earth.settle(60)
    assert commands(broker)[before:] == [("done", 1)]
    call = broker.journal(f"moscow:{entry}")
    assert (call.users, call.outcome) == ([12], "answered")
    assert call.facts["rang"] == ["102"], "nobody else of the group rang"
    assert broker.rows(number)[f"moscow:{entry}"].user_id == 12


def test_a_manager_who_does_not_answer_loses_no_call(broker: Broker) -> None:
    routed(broker)
    client = "79163330002"
    known(broker, client, 12)
    number, entry = broker.ring(
        MOSCOW, client=client, **{**WAITS, "parties": {"102": Party(None, 1.0)}, "others": SILENT}
    )
    broker.earth.settle(60)
    call = broker.journal(f"moscow:{entry}")
    assert (call.outcome, call.state) == ("missed", "finished")
    assert len(broker.rows(number)) == 1


@pytest.mark.parametrize(("by_result", "state"), [(False, "dead"), (True, "done")])
def test_a_short_greeting_loses_the_way_to_the_manager_but_no_call(
    broker: Broker, by_result: bool, state: str
) -> None:
    routed(broker)
    client = f"7916333{by_result:d}003"
    known(broker, client, 12)
    before = len(commands(broker))
    broker.boards["moscow"].refuses_routes_by_result = by_result
    number, entry = broker.ring(MOSCOW, client=client, **{**WAITS, "ivr": 3.0, "parties": {"101": Party(0.5)}})
    broker.earth.settle(60)
    broker.boards["moscow"].refuses_routes_by_result = False
    assert commands(broker)[before:] == [(state, 1)], "Mango refuses it, and it is not repeated"
    call = broker.journal(f"moscow:{entry}")
    assert (call.users, call.outcome, len(broker.rows(number))) == ([11], "answered", 1)


def test_a_new_client_goes_the_usual_way(broker: Broker) -> None:
    routed(broker)
    before = len(commands(broker))
    broker.ring(MOSCOW, **WAITS)
    broker.earth.settle(60)
    assert commands(broker)[before:] == []


@pytest.mark.parametrize("kind", ["Dial", "Route"])
def test_what_went_to_mango_never_waits_again(broker: Broker, kind: str) -> None:
    """A worker that died between intent and answer: its request to the portal is looked up and repeated, one to Mango
    is not.
    """
    routed(broker)
    number, entry = broker.ring(MOSCOW, speed=100.0, talk=1.0, record_delay=0.5)
    broker.earth.settle(60)
    call = broker.journal(f"moscow:{entry}")
    with broker.earth.app.app_context():
        long_ago = utcnow() - timedelta(hours=1)
        row = Delivery(
            portal_id=call.portal_id, call_id=call.id, key="x", kind=kind, command={}, state="sent", sent_at=long_ago
        )
        db.session.add(row)
        db.session.commit()
        lost_requests.recover_lost_requests(db.session(), timedelta(seconds=90))
        db.session.commit()
        assert row.state == "sent"
        click_to_call.recover_lost_dials(db.session())
        db.session.commit()
        assert (row.state, (row.answer or {}).get("lost")) == ("done", True)
        db.session.delete(row)
        db.session.commit()
    assert number
