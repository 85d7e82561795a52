"""The insurance broker, end to end: what the portal holds of calls to three cities."""

from __future__ import annotations

import pytest

from bx24app.bitrix24.errors import NotSent
from bx24app.domain.settings import Settings
from bx24app.portals import external_lines
from bx24app.sandbox.bitrix.state import Statistic
from tests.end_to_end.test_linked_calls import moved
from tests.support.broker import (
    KRASNODAR,
    MOSCOW,
    NEW,
    OFFICES,
    SILENT,
    Broker,
    Office,
    Party,
    blind,
    document,
)
from tests.support.stack import World, until


def only(rows: dict[str, Statistic]) -> Statistic:
    (row,) = rows.values()
    return row


@pytest.mark.parametrize("office", OFFICES, ids=lambda office: office.key)
def test_a_client_belongs_to_the_manager_of_the_city_whoever_talked(broker: Broker, office: Office) -> None:
    client, entry = broker.ring(office, parties={"101": SILENT, "102": Party(3.0)}, talk=9.0)
    broker.earth.settle()
    row = only(broker.rows(client))
    assert (row.user_id, row.failed_code, row.portal_number) == (office.staff["102"], "200", office.line_number)
    assert row.external_id == f"{office.key}:{entry}"
    assert broker.responsible(client) == [office.manager]


def test_a_colleague_of_another_office_on_the_same_product(broker: Broker) -> None:
    """An extension that only another office's PBX knows: the client and its record go there, in one entry."""
    pbx = broker.pbx(MOSCOW)
    if pbx.find_employee("201") is None:
        pbx.add_employee("201", "Краснодар 201")
    client, entry = broker.ring(
        MOSCOW, parties={"101": Party(2.0), "201": Party(2.0)}, others=SILENT, signals=[blind("201")], talk=20.0
    )
    broker.earth.settle()
    rows = broker.rows(client)
    assert {row.user_id for name, row in rows.items() if "#" not in name} == {22}
    assert {row.portal_number for row in rows.values()} == {"MSK"}
    assert broker.responsible(client) == [22]
    assert broker.journal(f"moscow:{entry}").users == [11, 22]


def test_an_extension_of_two_other_offices_is_nobodys(broker: Broker) -> None:
    """`301` of Moscow's product would be anybody's guess, were it in both: the default user takes the call, nobody
    else.
    """
    both = document().model_dump(by_alias=True)
    both["pbxs"][1]["employees"] = [*both["pbxs"][1]["employees"], {"extension": "301", "user_id": 14}]
    broker.rule(Settings.model_validate(both))
    pbx = broker.pbx(MOSCOW)
    if pbx.find_employee("301") is None:
        pbx.add_employee("301", "Somebody")
    client, _ = broker.ring(MOSCOW, to=["301"], parties={"301": Party(2.0)}, talk=9.0)
    broker.earth.settle()
    assert only(broker.rows(client)).user_id == MOSCOW.default


def test_a_new_employee_without_a_mapping(broker: Broker) -> None:
    """They talk: the PBX's default user has the call. They do not pick up: it is missed, the manager's."""
    client, _ = broker.ring(KRASNODAR, to=[NEW], parties={NEW: Party(2.0)}, talk=9.0)
    missed, _ = broker.ring(KRASNODAR, to=[NEW], others=SILENT)
    broker.earth.settle()
    talked, lost = only(broker.rows(client)), only(broker.rows(missed))
    assert (talked.user_id, talked.failed_code, talked.portal_number) == (KRASNODAR.default, "200", "KRD")
    assert (lost.user_id, lost.failed_code, lost.missed) == (KRASNODAR.manager, "304", True)
    assert broker.responsible(client) == broker.responsible(missed) == [KRASNODAR.manager]
    assert broker.file_size(talked) == broker.recording_size(KRASNODAR, entry_of(talked), NEW)


def entry_of(row: Statistic) -> str:
    return (row.external_id or "").partition(":")[2].partition("#")[0]


def test_late_recordings_land_on_their_own_calls(broker: Broker) -> None:
    """Three calls at once; their files come when all is long over, in another order, under the same ids at every PBX.
    """
    made = {
        office.key: broker.ring_unsent(office, parties={"101": Party(2.0)}, others=SILENT, talk=9.0 + index)
        for index, office in enumerate(OFFICES)
    }
    rest = {key: [h for h in heard if h[1].path != "events/record/added"] for key, (_, _, heard) in made.items()}
    tapes = [h for _, _, heard in made.values() for h in heard if h[1].path == "events/record/added"]
    assert len(tapes) == 3
    for board in broker.boards.values():
        for tape in board.call_log.recordings.values():
            tape.is_stored = False
    broker.send([h for step in zip(*rest.values(), strict=True) for h in step])
    until(lambda: all(broker.rows(client) for client, _, _ in made.values()), "the calls were not finished")
    assert not any(broker.file_size(only(broker.rows(client))) for client, _, _ in made.values())
    for board in broker.boards.values():
        for tape in board.call_log.recordings.values():
            tape.is_stored = True
    broker.send(tapes[::-1])
    broker.earth.settle(60)
    sizes = {}
    for office in OFFICES:
        client, entry, _ = made[office.key]
        row = only(broker.rows(client))
        assert row.external_id == f"{office.key}:{entry}"
        sizes[office.key] = broker.file_size(row)
        assert sizes[office.key] == broker.recording_size(office, entry, "101")
    assert len(set(sizes.values())) == 3, "the files differ, so a wrong one would be seen"


def test_lines_are_in_the_portal_by_name(broker: Broker) -> None:
    until(lambda: followed(broker.earth), "the portal's budget never allowed it")
    found = {line.number: line.name for line in broker.earth.portal.lines.values()}
    assert {office.line_number: f"{office.name}, офис" for office in OFFICES}.items() <= found.items()


def followed(earth: World) -> bool:
    with earth.app.app_context():
        try:
            external_lines.sync_lines(earth.portal_row()["id"])
        except NotSent:  # the other tests have used up what the portal allows
            return False
    return True


@pytest.mark.parametrize("by_rule", [False, True], ids=["the portal makes the lead", "a rule makes it"])
def test_two_offices_ring_for_one_unknown_client_in_the_same_instant(broker: Broker, by_rule: bool) -> None:
    """The portal looks for the client and makes one in two steps: asked by both calls at once, it would make two."""
    settings = document(missed="lead", answered="lead")
    if by_rule:
        rule = {"name": "All", "when": {"direction": "in"}, "do": [{"create": {"entity": "lead", "title": "New"}}]}
        settings = Settings.model_validate({**settings.model_dump(mode="json", by_alias=True), "rules": [rule]})
    broker.rule(settings)
    broker.earth.portal.latencies.update({"telephony.externalcall.register": 0.4, "crm.item.add": 0.4})
    try:
        client, _, heard = broker.ring_unsent(MOSCOW, parties={"101": Party(2.0)}, others=SILENT, talk=9.0)
        _, _, other = broker.ring_unsent(
            KRASNODAR, client=client[1:], parties={"101": Party(2.0)}, others=SILENT, talk=9.0
        )
        begins = [min(h[1].body["timestamp"] for h in some if "timestamp" in h[1].body) for some in (heard, other)]
        other = moved(other, begins[0] - begins[1])
        broker.send([h for step in zip(heard, other, strict=True) for h in step])
        broker.earth.settle(60)
    finally:
        broker.earth.portal.latencies.clear()
    assert len(broker.rows(client)) == 2, "two calls"
    assert len(broker.records(client)) == 1, "of one client"
