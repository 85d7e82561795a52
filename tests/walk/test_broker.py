"""The insurance broker, end to end: what the portal holds of calls to three cities, and of clients handed from one to another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.models import Call, db
from bx24app.sandbox.bitrix.state import Statistic
from tests.walk.offices import KRASNODAR, MOSCOW, OFFICES, SILENT, Broker, Office, Party, blind, document
from tests.world import World


@pytest.fixture(scope="module")
def broker(earth: World) -> Broker:
    return Broker(earth)


@pytest.fixture(autouse=True)
def portal_is_clean(broker: Broker) -> Iterator[None]:
    """After every test: no call is left open in the portal, no card stands on a screen."""
    broker.rule(document())
    yield
    portal = broker.earth.portal
    assert not portal.calls, list(portal.calls.values())
    assert not [card for cards in portal.cards.values() for card in cards.values()]


def only(rows: dict[str, Statistic]) -> Statistic:
    (row,) = rows.values()
    return row


def journal(broker: Broker, external_id: str) -> Call:
    """Our row of a call, by `<pbx key>:<entry>`."""
    key, _, entry = external_id.partition(":")
    with broker.earth.app.app_context():
        call = db.session.query(Call).filter_by(pbx_key=key, entry_id=entry).one()
        db.session.expunge_all()
        db.session.rollback()
        return call


@pytest.mark.parametrize("office", OFFICES, ids=lambda office: office.key)
def test_a_client_belongs_to_the_manager_of_the_city_whoever_talked(broker: Broker, office: Office) -> None:
    client, entry = broker.ring(office, parties={"101": SILENT, "102": Party(3.0)}, talk=9.0)
    broker.earth.settle()
    row = only(broker.rows(client))
    assert (row.user_id, row.failed_code, row.portal_number) == (office.staff["102"], "200", office.line_number)
    assert row.external_id == f"{office.key}:{entry}"
    assert broker.responsible(client) == [office.manager]


FORMS = pytest.mark.parametrize("redirect", [False, True], ids=["the first entry stays", "the first entry ends"])
"""Two products give two entries; the first may go on as a branch to the other office's number, or end before the second begins."""


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
    later = journal(broker, second.external_id or "")
    assert later.continues == entry
    assert later.responsible_id == 13
    assert journal(broker, first.external_id or "").responsible_id == 13
    assert journal(broker, first.external_id or "").continues is None
    assert {broker.file_size(row) is not None for row in rows.values()} == {True}
