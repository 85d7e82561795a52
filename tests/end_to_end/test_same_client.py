"""Several calls of one unknown client that overlap, and whose record is made only when it is known how they went: one
record, not one each.
"""

from __future__ import annotations

import itertools

import pytest

from bx24app.domain.calls import record_queries
from bx24app.domain.settings import Settings
from tests.end_to_end.test_linked_calls import moved
from tests.support.broker import MOSCOW, SILENT, Broker, OfficeNotification, Party, document

LATE = {"answered": "lead", "missed": "nothing"}
"""No record before the outcome: the portal cannot make it at the first ring."""
CONTACT = {"answered": "contact", "missed": "lead"}
DEAL = {
    "name": "All",
    "when": {"direction": "in", "outcome": "answered"},
    "do": [{"create": {"entity": "deal", "title": "New"}}],
}


def several(
    broker: Broker, count: int = 2, apart: int = 0, last_talks: bool = True
) -> tuple[str, list[list[OfficeNotification]]]:
    """So many calls of one client on one PBX, each beginning `apart` seconds after the one before; what is heard of
    each.
    """
    client, _, first = broker.ring_unsent(MOSCOW, parties={"101": Party(2.0)}, others=SILENT, talk=9.0)
    made = [first]
    for number in range(1, count):
        talks = {"parties": {"102": Party(2.0)}, "talk": 9.0} if last_talks else {}
        _, _, heard = broker.ring_unsent(MOSCOW, client=client[1:], others=SILENT, **talks)
        made.append(moved(heard, begun(first) + apart * number - begun(heard)))
    return client, made


def begun(heard: list[OfficeNotification]) -> int:
    return min(one[1].body["timestamp"] for one in heard if "timestamp" in one[1].body)


def together(calls: list[list[OfficeNotification]]) -> list[OfficeNotification]:
    """Step by step, one notice of each call after the other."""
    return [one for step in itertools.zip_longest(*calls) for one in step if one is not None]


@pytest.mark.parametrize("calls", [LATE, CONTACT], ids=["leads", "contacts"])
def test_calls_that_end_in_the_same_instant_make_one_record(broker: Broker, calls: dict[str, str]) -> None:
    broker.rule(document(**calls))
    told(broker)


def test_a_call_that_ends_later_finds_what_the_other_made(broker: Broker) -> None:
    """Both ring, one is over and has its lead, then the other ends: it was registered when nobody knew the client."""
    broker.rule(document(**LATE))
    client, (first, second) = several(broker)
    cut = next(place for place, one in enumerate(second) if one[1].body.get("call_state") == "Connected")
    broker.send_slowly(second[:cut])
    broker.send_slowly(first)
    broker.send_slowly(second[cut:])
    broker.earth.settle(60)
    one_record(broker, client, 2)


def test_rules_make_one_record_too(broker: Broker) -> None:
    settings = document().model_dump(mode="json", by_alias=True)
    broker.rule(Settings.model_validate({**settings, "rules": [DEAL]}))
    told(broker)


def test_calls_apart_ask_nothing_more(broker: Broker) -> None:
    """Who is alone on the line costs the portal no request more than before."""
    broker.rule(document(**LATE))
    client, _ = broker.ring(MOSCOW, parties={"101": Party(2.0)}, others=SILENT, talk=9.0)
    broker.earth.settle(60)
    one_record(broker, client, 1)
    assert record_queries.FIND_CLIENT_KEY not in asked(broker, client)


def told(broker: Broker) -> None:
    broker.earth.portal.latencies.update({"crm.item.add": 0.4, "telephony.externalcall.register": 0.1})
    try:
        client, calls = several(broker, 3)
        broker.send(together(calls))
        broker.earth.settle(60)
    finally:
        broker.earth.portal.latencies.clear()
    one_record(broker, client, 3)


def one_record(broker: Broker, client: str, calls: int) -> None:
    assert len(broker.rows(client)) == calls
    assert len(broker.records(client)) == 1, broker.records(client)


def asked(broker: Broker, client: str) -> list[str]:
    """Keys of all that the portal was told and asked of this client's calls."""
    from bx24app.models import Call, Delivery, db

    with broker.earth.app.app_context():
        query = db.select(Delivery.key).join(Call, Call.id == Delivery.call_id).where(Call.client_number == client)
        found = list(db.session.scalars(query))
        db.session.rollback()
        return found
