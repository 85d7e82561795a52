"""What the portal refuses to tell, or tells only at the second try, before the app creates a record."""

from __future__ import annotations

from bx24app.calls import replay
from bx24app.models import Dictionary, Portal, db
from bx24app.portals import crm_dictionaries
from bx24app.sandbox.bitrix.seed import SPA
from bx24app.sandbox.bitrix.state import CONTACT, DEAL
from tests.end_to_end.test_rules import ANSWERED, MISSED, office, ring
from tests.support.stack import World

DEAL_RULE = {
    "name": "Deal",
    "when": {"direction": "in"},
    "do": [{"create": {"entity": "deal", "category_id": 0, "title": "Deal"}}, {"todo": {"title": "Call back"}}],
}
CLIENT = "+79161234567"


def _deals(earth: World) -> list[int]:
    [contact] = [row for row in earth.portal.crm.records[CONTACT].values() if row.phones == [CLIENT]]
    return [deal.id for deal in earth.portal.crm.records[DEAL].values() if contact.id in deal.contact_ids]


def _known_client(earth: World) -> None:
    if not any(row.phones == [CLIENT] for row in earth.portal.crm.records[CONTACT].values()):
        earth.add_client("contact", CLIENT)


def test_a_refused_look_up_holds_the_deal_back_until_it_is_answered(earth: World) -> None:
    hook = office(earth, DEAL_RULE)
    _known_client(earth)
    before = _deals(earth)
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("right_removed", method="crm.item.list"))
    told = ring(earth, hook, MISSED, CLIENT)
    states = [(kind, state) for kind, state, _ in told.commands()]
    assert ("ReadOpen", "dead") in states
    assert "CreateRecord" not in dict(states)
    assert {("Finish", "done"), ("AddTodo", "done")} <= set(states), "the call and its to-do get through"
    assert _deals(earth) == before

    earth.sandbox.call(earth.portal.switches.switch_off)
    call_id = told.call.id
    with earth.app.app_context():
        portal_id = db.session.scalars(db.select(Portal.id)).one()
        db.session.rollback()
        replay.retry_dead(portal_id, call_id)
        db.session.remove()
    earth.settle(90)
    [created] = set(_deals(earth)) - set(before)
    call_activities = earth.portal.by_call[str(told.call.bitrix_call_id)].activity_id
    assert (DEAL, created) in earth.portal.activities[int(call_activities or 0)].bindings, "the deal shows the call"


def test_a_look_up_whose_answer_is_lost_is_asked_again_before_the_deal(earth: World) -> None:
    hook = office(earth, DEAL_RULE)
    _known_client(earth)
    for kind in ("http502", "close_after", "garbage_after"):
        before = _deals(earth)
        earth.sandbox.call(lambda kind=kind: earth.portal.switches.switch_on(kind, times=1, method="crm.item.list"))
        told = ring(earth, hook, ANSWERED, CLIENT)
        assert ("ReadOpen", "done", None) in told.commands(), kind
        assert len(_deals(earth)) == max(1, len(before)), f"{kind}: one open deal, and never a second"


def test_stages_that_could_not_be_read_do_not_make_won_items_open(earth: World) -> None:
    """The dictionaries were refused: the portal's own names of its final stages tell."""
    rule = {"name": "Item", "when": {"direction": "in"}, "do": [{"create": {"entity": SPA, "title": "Item"}}]}
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("right_removed", method="crm.status.list"))
    hook = office(earth, rule)
    with earth.app.app_context():
        portal_id = db.session.scalars(db.select(Portal.id)).one()
        db.session.execute(db.delete(Dictionary).where(Dictionary.portal_id == portal_id))
        db.session.commit()
    client = "+79990001155"
    earth.sandbox.call(earth.add_client, "contact", client)
    first = ring(earth, hook, ANSWERED, client)
    ring(earth, hook, ANSWERED, client)
    [item] = first.records(SPA)
    item.fields.update(stageId=f"DT{SPA}_12:SUCCESS")
    ring(earth, hook, ANSWERED, client)
    earth.sandbox.call(earth.portal.switches.switch_off)
    assert len(first.records(SPA)) == 2, "the first is won: the next call opens another"
    with earth.app.app_context():
        assert not crm_dictionaries.load(portal_id).final_stages(SPA, None)
        db.session.remove()


def test_a_client_who_is_not_found_because_the_search_is_refused_still_gets_a_record(earth: World) -> None:
    """Register has answered that the CRM does not know the number; the second search only looks for what came since."""
    rule = {**DEAL_RULE, "when": {"direction": "in", "outcome": "missed"}, "do": DEAL_RULE["do"][:1]}
    hook = office(earth, rule)
    earth.sandbox.call(
        lambda: earth.portal.switches.switch_on("right_removed", method="telephony.externalcall.searchcrmentities")
    )
    told = ring(earth, hook, MISSED)
    commands = told.commands()
    assert ("ReadClient", "dead", "ACCESS_DENIED") in commands
    assert [state for kind, state, _ in commands if kind == "CreateRecord"] == ["done", "done"]
    earth.sandbox.call(earth.portal.switches.switch_off)


def test_a_to_do_of_which_the_portal_does_not_tell_whether_it_is_open_stays_open_here(earth: World) -> None:
    hook = office(earth, missed="activity")
    first = ring(earth, hook, MISSED, ago=300)
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("right_removed", method="crm.activity.get"))
    second = ring(earth, hook, MISSED, first.retold.client, ago=200)
    earth.sandbox.call(earth.portal.switches.switch_off)
    assert ("ReadTodo", "dead", "ACCESS_DENIED") in second.commands()
    assert [subject.count("×") for subject in _todos(earth, first.retold.client)] == [0, 0]
    ring(earth, hook, MISSED, first.retold.client, ago=100)
    assert [subject.count("×") for subject in _todos(earth, first.retold.client)] == [1, 1], "both are still open"


def test_a_to_do_that_was_deleted_is_replaced(earth: World) -> None:
    hook = office(earth, missed="activity")
    first = ring(earth, hook, MISSED, ago=300)
    [todo] = [todo for todo in earth.portal.todos.values() if first.retold.client in todo.subject]
    earth.sandbox.call(lambda: earth.portal.activities.pop(todo.id))
    second = ring(earth, hook, MISSED, first.retold.client, ago=200)
    assert ("ReadTodo", "done", None) in second.commands(), "the portal has answered: there is no such to-do"
    assert len(_todos(earth, first.retold.client)) == 1


def test_the_dry_run_does_not_know_deals_that_the_portal_did_not_name(earth: World) -> None:
    hook = office(earth)
    _known_client(earth)
    known = ring(earth, hook, ANSWERED, CLIENT)
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("right_removed", method="crm.item.list"))
    refused = ring(earth, hook, ANSWERED, CLIENT)
    earth.sandbox.call(earth.portal.switches.switch_off)
    assert known.row().choice.facts.open_records is not None
    assert refused.row().choice.facts.open_records is None


def _todos(earth: World, client: str) -> list[str]:
    return [todo.subject for todo in earth.portal.todos.values() if client in todo.subject]
