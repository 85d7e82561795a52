"""A deal has several contacts: it is the client's deal also where the client is its second one."""

from __future__ import annotations

from bx24app.sandbox.bitrix.state import CONTACT, DEAL
from tests.end_to_end.test_rules import ANSWERED, office, ring
from tests.support.stack import World

CLIENT, PARTNER = "+79161230001", "+79161230002"
RULE = {"name": "Deal", "when": {"direction": "in"}, "do": [{"create": {"entity": "deal", "title": "Deal"}}]}


def _add_shared_deal(earth: World) -> int:
    """An open deal of the partner with the client as its second contact."""
    earth.add_client("contact", PARTNER)
    earth.add_client("contact", CLIENT)
    ids = [row.id for phone in (PARTNER, CLIENT) for row in earth.portal.crm.find_records("PHONE", phone, CONTACT)]
    fields = {"title": "Shared", "categoryId": 0, "stageId": "NEW", "stageSemanticId": "P", "closed": "N"}
    people = {"contactIds": ids, "contactId": ids[0], "assignedById": 1}
    return earth.portal.crm.add_record(DEAL, {**fields, **people}).id


def test_the_deal_of_a_second_contact_is_the_clients_open_deal(earth: World) -> None:
    hook = office(earth, RULE)
    deal = earth.sandbox.call(lambda: _add_shared_deal(earth))
    told = ring(earth, hook, ANSWERED, CLIENT)
    assert [one.id for one in told.records(DEAL)] == [deal], "no second one beside it"
    assert [one.provider_id for one in told.activities(DEAL, deal)] == ["VOXIMPLANT_CALL"], "the call is on it"
    assert told.row().choice.facts.open_records == {"deal"}, "a try of rules on this call knows it too"
