"""Clients handed from one office's PBX to another's: two entries, one conversation (contract, section 7)."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from bx24app.calls import replay
from bx24app.sandbox.bitrix.state import DEAL
from tests.support.broker import (
    KRASNODAR,
    MOSCOW,
    SIBERIA,
    SILENT,
    Broker,
    OfficeNotification,
    Party,
    blind,
    document,
)
from tests.support.stack import until

FORMS = pytest.mark.parametrize("redirect", [False, True], ids=["the first entry stays", "the first entry ends"])
"""Two products give two entries; the first may go on as a branch to the other office's number, or end before the second
begins.
"""

AT_ONCE = ("as it is", "twice")
"""Orders in which the first office rings first, as in life: they may come as fast as they can."""
AWAY = {"parties": {"101": Party(2.0)}, "others": SILENT, "talk": 30.0}


@FORMS
@pytest.mark.parametrize("responsible", [True, False], ids=["a manager for each line", "the talker"])
def test_a_client_handed_to_another_office_gets_its_talker(broker: Broker, redirect: bool, responsible: bool) -> None:
    broker.rule(document(responsible=responsible))
    away = blind(KRASNODAR.line, redirect=redirect, gap=6.0, party=SILENT)
    client, entry = broker.ring(
        MOSCOW, parties={"101": Party(2.0), "102": Party(3.0)}, others=SILENT, signals=[away], talk=30.0
    )
    broker.earth.settle()
    rows = broker.rows(client)
    first, second = rows[f"moscow:{entry}"], next(row for name, row in rows.items() if name.startswith("krasnodar:"))
    assert len(rows) == 2
    assert (first.user_id, first.portal_number, first.failed_code) == (11, "MSK", "200")
    assert (second.user_id, second.portal_number, second.failed_code) == (13, "KRD", "200")
    assert broker.responsible(client) == [13], "one record, and it is the second talker's"
    later = broker.journal(second.external_id or "")
    assert later.continues == entry
    assert later.responsible_id == 13
    assert broker.journal(first.external_id or "").responsible_id == 13
    assert broker.journal(first.external_id or "").continues is None
    assert {broker.file_size(row) is not None for row in rows.values()} == {True}


def orders(heard: list[OfficeNotification]) -> dict[str, list[OfficeNotification]]:
    first = heard[0][0]
    one, two = [h for h in heard if h[0] == first], [h for h in heard if h[0] != first]
    return {
        "as it is": heard,
        "twice": [h for h in heard for _ in range(2)],
        "the second office first": two + one,
        "one office after the other": one + two,
        "reversed": heard[::-1],
    }


@pytest.mark.parametrize(
    "order", ["as it is", "twice", "the second office first", "one office after the other", "reversed"]
)
@pytest.mark.parametrize(
    ("mode", "holder", "known_holder"), [("created", 13, 1), ("always", 13, 13), ("never", 21, 1)]
)  # fmt: skip
def test_in_any_order_the_client_ends_with_the_same_person(
    broker: Broker, order: str, mode: str, holder: int, known_holder: int
) -> None:
    broker.rule(document(transfer_responsible=mode))
    client, entry, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    (broker.send if order in AT_ONCE else broker.send_slowly)(orders(heard)[order])
    broker.earth.settle()
    assert broker.responsible(client) == [holder], "one record"
    later = next(name for name in broker.rows(client) if name.startswith("krasnodar:"))
    assert broker.journal(later).continues == entry
    client, entry, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    broker.earth.sandbox.call(broker.earth.add_client, "contact", client)
    (broker.send if order in AT_ONCE else broker.send_slowly)(orders(heard)[order])
    broker.earth.settle()
    assert broker.responsible(client) == [known_holder], "a known client keeps theirs, but under `always`"


def test_the_card_follows_the_client(broker: Broker) -> None:
    """While Krasnodar talks the card is on that screen alone: the first call goes on as a branch, with nobody of Moscow
    in it.
    """
    client, _, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    states = [(key, notice.body.get("call_state")) for key, notice in heard]
    talks = [index for index, (_, state) in enumerate(states) if state == "Connected"]
    assert sorted(states[index][0] for index in talks) == ["krasnodar", "moscow", "moscow"]
    broker.send(heard[: talks[0] + 1])
    until(lambda: screens(broker, client) == [11], "Moscow talks, and has no card")
    broker.send(heard[talks[0] + 1 : talks[2] + 1])
    until(lambda: screens(broker, client) == [13], "Krasnodar talks, and the card is elsewhere")
    broker.send(heard[talks[2] + 1 :])
    broker.earth.settle()
    assert screens(broker, client) == []


def screens(broker: Broker, client: str) -> list[int]:
    cards = [card for cards in broker.earth.portal.cards.values() for card in cards.values()]
    return sorted(card.user_id for card in cards if card.phone.lstrip("+") == client[1:])


@pytest.mark.parametrize("order", ["as it is", "the second office first", "reversed"])
@pytest.mark.parametrize("missed", ["activity", "lead"])
def test_nobody_takes_it_in_the_other_office(broker: Broker, order: str, missed: str) -> None:
    """The second call is missed and makes nothing of its own; the client stays where they were."""
    broker.rule(document(missed=missed, answered="contact"))
    away = blind(KRASNODAR.line, redirect=True)
    client, entry, heard = broker.ring_unsent(
        SIBERIA, to=["301"], parties={"301": Party(2.0)}, others=SILENT, signals=[away], talk=30.0
    )
    (broker.send if order in AT_ONCE else broker.send_slowly)(orders(heard)[order])
    broker.earth.settle()
    rows = broker.rows(client)
    assert (rows[f"novosibirsk:{entry}"].user_id, rows[f"novosibirsk:{entry}"].failed_code) == (23, "200")
    lost = next(row for name, row in rows.items() if name.startswith("krasnodar:"))
    assert lost.failed_code == "304"
    assert broker.responsible(client) == [SIBERIA.manager]
    assert broker.journal(lost.external_id or "").continues == entry
    if order == "as it is":  # else nobody knew yet that the call was no new one
        assert broker.todos(client) == []


@pytest.mark.parametrize("order", ["as it is", "at random 1", "at random 2", "at random 3"])
def test_through_three_offices_the_last_talker_has_the_client(broker: Broker, order: str) -> None:
    client, entry, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    _, _, further = broker.ring_unsent(SIBERIA, client=client[1:], parties={"102": Party(2.0)}, others=SILENT, talk=9.0)
    second = [n.body for key, n in heard if key == "krasnodar" and n.body.get("call_state") == "Connected"]
    begins = min(n.body["timestamp"] for _, n in further if "timestamp" in n.body)
    heard += moved(further, second[0]["timestamp"] + 5 - begins)
    if order != "as it is":
        random.Random(order).shuffle(heard)
    broker.send_slowly(heard)
    broker.earth.settle(60)
    rows = {name.partition(":")[0]: row for name, row in broker.rows(client).items()}
    assert {key: row.user_id for key, row in rows.items()} == {"moscow": 11, "krasnodar": 13, "novosibirsk": 16}
    assert broker.responsible(client) == [16]
    found = {key: broker.journal(row.external_id or "") for key, row in rows.items()}
    assert found["krasnodar"].continues == entry
    assert found["novosibirsk"].continues == found["krasnodar"].entry_id
    assert {call.responsible_id for call in found.values()} == {16}


def moved(heard: list[OfficeNotification], seconds: int) -> list[OfficeNotification]:
    """The same notices, told of another time."""
    times = ("timestamp", "create_time", "forward_time", "talk_time", "end_time")
    return [
        (key, replace(n, body={k: v + seconds if k in times and v else v for k, v in n.body.items()}))
        for key, n in heard
    ]


def test_the_same_client_calls_another_city_the_next_day(broker: Broker) -> None:
    """Two talks, each with its own city, one after the other: nothing continues anything."""
    client, _, heard = broker.ring_unsent(MOSCOW, parties={"101": Party(2.0)}, others=SILENT, talk=9.0)
    _, _, later = broker.ring_unsent(KRASNODAR, client=client[1:], parties={"101": Party(2.0)}, others=SILENT, talk=9.0)
    ended = max(n.body["timestamp"] for _, n in heard if "timestamp" in n.body)
    begins = min(n.body["timestamp"] for _, n in later if "timestamp" in n.body)
    broker.send(moved(heard, -60) + moved(later, ended - begins - 60 + 16))
    broker.earth.settle()
    assert [broker.journal(name).continues for name in broker.rows(client)] == [None, None]
    assert broker.responsible(client) == [MOSCOW.manager], "the record is the first call's; a known client keeps theirs"


def test_register_answers_when_the_other_office_is_long_done(broker: Broker) -> None:
    """The portal is busy when Moscow rings: the record is made after the talk in Krasnodar, and is its talker's all the
    same.
    """
    client, _, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    switches = broker.earth.portal.switches
    broker.earth.sandbox.call(
        lambda: switches.switch_on("query_limit", times=2, method="telephony.externalcall.register")
    )
    broker.send(heard)
    broker.earth.settle()
    assert broker.responsible(client) == [13]


def test_contact_and_deal_go_together(broker: Broker) -> None:
    broker.rule(document(answered="lead"))
    try:
        broker.earth.portal.crm_mode = 2
        broker.earth.set_crm_mode(2)
        client, _ = broker.ring(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
        broker.earth.settle()
        (contact,) = broker.records(client)
        deals = [one for one in broker.earth.portal.crm.records[DEAL].values() if contact.id in one.contact_ids]
        assert [one.assigned_by_id for one in (contact, *deals)] == [13, 13]
    finally:
        broker.earth.portal.crm_mode = 1
        broker.earth.set_crm_mode(1)


def test_heard_again_nothing_changes(broker: Broker) -> None:
    client, entry, heard = broker.ring_unsent(MOSCOW, signals=[blind(KRASNODAR.line)], **AWAY)
    broker.send(heard)
    broker.earth.settle()
    before = (list(broker.rows(client)), broker.responsible(client))
    ids = {h[1].body["entry_id"] for h in heard if "entry_id" in h[1].body}
    said = time.time()
    with broker.earth.app.app_context():
        for one in ids:
            assert replay.replay_entry(broker.earth.portal_row()["id"], one).calls >= 1
    broker.earth.settle()
    assert (list(broker.rows(client)), broker.responsible(client)) == before
    assert not [one.method for one in broker.earth.portal.request_log if one.at > said], "there was nothing to tell"
    assert entry in ids
