"""Rules carried out in the sandbox's portal; the dry run says the same as the worker did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from bx24app.calls import dry_run
from bx24app.domain.settings import Settings
from bx24app.models import Call, Delivery, Dictionary, Portal, PortalUser, db
from bx24app.portals import crm_dictionaries
from bx24app.sandbox.bitrix.seed import SPA
from bx24app.sandbox.bitrix.state import CONTACT, DEAL, LEAD, Activity, Record
from tests.conftest import KEY, SALT
from tests.end_to_end.test_scenarios import connect
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World

MISSED = Scenario(FIXTURES / "incoming_missed_by_group")
ANSWERED = Scenario(FIXTURES / "incoming_answered_by_group")
OUTGOING = Scenario(FIXTURES / "outgoing_answered")


@dataclass
class Told:
    """A call that was told, and what became of it."""

    world: World
    retold: ReplayedCall

    @property
    def call(self) -> Call:
        with self.world.app.app_context():
            return db.session.query(Call).filter_by(entry_id=self.retold.entry_id).one()

    def commands(self) -> list[tuple[str, str, str | None]]:
        """(kind, state, code) of everything that was told to the portal."""
        number = self.call.id  # before the context: SQLite has one writer
        with self.world.app.app_context():
            rows = db.session.query(Delivery).filter_by(call_id=number).order_by(Delivery.id)
            return [(row.kind, row.state, row.code) for row in rows]

    def records(self, type_id: int) -> list[Record]:
        portal = self.world.portal
        contacts = [r for r in portal.crm.records[CONTACT].values() if self._ours(r)]
        if type_id == CONTACT:
            return contacts
        ids = {one.id for one in contacts}
        found = portal.crm.records[type_id].values()
        return [r for r in found if self._ours(r) or ids & set(r.contact_ids)]

    def _ours(self, record: Record) -> bool:
        return any(phone.lstrip("+") == self.retold.client[1:] for phone in record.phones)

    def activities(self, type_id: int, number: int) -> list[Activity]:
        return [one for one in self.world.portal.activities.values() if (type_id, number) in one.bindings]

    def row(self) -> dry_run.DryRunRow:
        """The dry run of this call with the settings that it was made by; it must say what the worker did."""
        number = self.call.id
        with self.world.app.app_context():
            call = db.session.get_one(Call, number)
            portal = db.session.get_one(Portal, call.portal_id)
            [row] = dry_run.compare_rules(db.session(), portal, dry_run.settings.current(portal), [call])
            return row


def office(earth: World, *rules: dict[str, Any], **calls: Any) -> str:
    """Connect the PBX with these rules; the line is open on no day, users 11 and 12 take turns. Returns the hook."""
    connect(earth, MISSED)
    document = MISSED.settings.model_dump(by_alias=True, mode="json")
    document["rules"] = list(rules)
    document["calls"].update(calls)
    line = document["pbxs"][0]["lines"][0]
    line["responsible"] = {"users": [11, 12], "strategy": "round_robin"}
    line["working_hours"] = [{"days": ["mon"], "from": "00:00", "to": "00:01", "holidays": []}]
    return earth.connect(Settings.model_validate(document), {"moscow": (KEY, SALT)})["moscow"]


def ring(earth: World, hook: str, scenario: Scenario, client: str | None = None, ago: int = 0) -> Told:
    retold = as_new_call(scenario, client, ago)
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for notice in retold.notices:
        assert post(hook, notice) == 200
    earth.settle(90)
    told = Told(earth, retold)
    agrees(told)
    return told


def agrees(told: Told) -> None:
    """The dry run's actions are those that left for the portal."""
    row, number = told.row(), told.call.id
    assert not row.differs
    with told.world.app.app_context():
        left = db.session.query(Delivery).filter_by(call_id=number).all()
        made = [d.command for d in left if d.kind == "CreateRecord" and d.key != "create-contact" and d.state == "done"]
        texts = {
            action.get("text") for action in row.draft.actions if action["action"] == "create" and action.get("text")
        }
        assert {command["title"] for command in made} <= texts | {command["title"] for command in made if not texts}
        todos = [d.command for d in left if d.kind == "AddTodo"]
        planned = [action for action in row.draft.actions if action["action"] == "todo"]
        assert [(t["responsible"], t["deadline_at"]) for t in todos] in (
            [],
            [(p["user"], int(datetime.fromisoformat(p["deadline_at"]).timestamp())) for p in planned],
        )


DEAL_AND_TODO = {
    "name": "Missed off hours",
    "when": {"direction": "in", "outcome": "missed", "line": "74950000001", "client": "new", "hours": "off"},
    "do": [
        {
            "create": {
                "entity": "deal",
                "category_id": 0,
                "stage_id": "NEW",
                "title": "Missed {{ client.number }}",
                "responsible": "line",
            }
        },
        {"todo": {"deadline_minutes": 45, "responsible": "line", "title": "Call back {{ client.number }}"}},
    ],
}


def test_a_missed_call_makes_deal_and_todo_for_the_next_manager(earth: World) -> None:
    hook = office(earth, DEAL_AND_TODO)
    first, second = ring(earth, hook, MISSED), ring(earth, hook, MISSED)
    managers = []
    for told in (first, second):
        [contact], [deal] = told.records(CONTACT), told.records(DEAL)
        assert deal.fields["title"] == f"Missed {told.retold.client}"
        assert contact.fields["name"] == told.retold.client
        assert deal.contact_ids == [contact.id]
        assert told.records(LEAD) == []
        on_deal = told.activities(DEAL, deal.id)
        todo = next(one for one in on_deal if one.provider_id == "CRM_TODO")
        call = next(one for one in on_deal if one.provider_id != "CRM_TODO")
        assert (CONTACT, contact.id) in call.bindings
        assert (CONTACT, contact.id) in todo.bindings, "whoever opens the client sees it too"
        assert todo.subject == f"Call back {told.retold.client}"
        assert todo.responsible_id == deal.assigned_by_id == contact.assigned_by_id
        managers.append(deal.assigned_by_id)
        assert told.call.rule == "Missed off hours"
        kinds = [kind for kind, _, _ in told.commands()]
        assert kinds.index("CreateRecord") < kinds.index("Finish") < kinds.index("Bind")
    assert sorted(managers) == [11, 12]


def test_repeated_misses_fold_into_one_todo_and_an_answered_call_closes_it(earth: World) -> None:
    hook = office(earth, DEAL_AND_TODO, missed="activity")
    first = ring(earth, hook, MISSED, ago=300)
    todos = [one for one in earth.portal.activities.values() if one.provider_id == "CRM_TODO"]
    colleague = next(one for one in todos if first.retold.client in one.subject)
    assert colleague.settings["PING_OFFSETS"] == [0, 15], "the portal reminds whoever has to call back"
    colleague.description, colleague.deadline = "Asked for the 40 mm pipes", colleague.deadline + 3600
    written = (colleague.description, colleague.deadline, colleague.responsible_id, dict(colleague.settings))
    again = ring(earth, hook, MISSED, first.retold.client, ago=200)
    [deal] = first.records(DEAL)
    todos = [
        one
        for one in earth.portal.activities.values()
        if one.provider_id == "CRM_TODO" and one.subject.startswith("Call back")
    ]
    mine = [one for one in todos if first.retold.client in one.subject]
    assert [(one.subject, one.completed) for one in mine] == [(f"Call back {first.retold.client} (×2)", False)]
    assert (DEAL, deal.id) in mine[0].bindings
    assert (mine[0].description, mine[0].deadline, mine[0].responsible_id, mine[0].settings) == written
    assert again.call.rule is None, "the client is known now, so calls.* hold"
    ring(earth, hook, OUTGOING, first.retold.client)
    assert mine[0].completed
    third = ring(earth, hook, MISSED, first.retold.client)
    fresh = [one for one in earth.portal.activities.values() if one.provider_id == "CRM_TODO" and one.id > mine[0].id]
    assert [one.completed for one in fresh] == [False], third.commands()


def test_a_todo_that_was_done_by_hand_is_not_counted_up(earth: World) -> None:
    hook = office(earth, missed="activity")
    first = ring(earth, hook, MISSED)
    [todo] = [
        one
        for one in earth.portal.activities.values()
        if one.provider_id == "CRM_TODO" and first.retold.client in one.subject
    ]
    todo.completed = True
    ring(earth, hook, MISSED, first.retold.client)
    mine = [
        one
        for one in earth.portal.activities.values()
        if one.provider_id == "CRM_TODO" and first.retold.client in one.subject
    ]
    assert [(one.subject == todo.subject, one.completed) for one in mine] == [(True, True), (True, False)]


def test_no_second_open_deal(earth: World) -> None:
    rule = {
        "name": "Deal",
        "when": {"direction": "in"},
        "do": [{"create": {"entity": "deal", "title": "Deal {{ client.number }}"}}],
    }
    hook = office(earth, rule)
    first = ring(earth, hook, ANSWERED)
    again = ring(earth, hook, ANSWERED, first.retold.client)
    [deal] = first.records(DEAL)
    calls = [one for one in first.activities(DEAL, deal.id) if one.provider_id != "CRM_TODO"]
    assert len(calls) == 2, "both calls are on the one deal"
    assert [one["entity"] for one in again.call.crm if one["created"]] == []
    deal.fields.update(stageSemanticId="S", closed="Y")
    ring(earth, hook, ANSWERED, first.retold.client)
    assert len(first.records(DEAL)) == 2, "the first is won: the next call opens another"


@pytest.mark.parametrize("has_semantics", [True, False])
def test_no_second_open_item_of_a_smart_process(earth: World, has_semantics: bool) -> None:
    """Smart processes have no `stageSemanticId`: the final stages of the dictionaries tell what is open."""
    rule = {
        "name": "Item",
        "when": {"direction": "in"},
        "do": [{"create": {"entity": SPA, "title": "Item {{ client.number }}"}}],
    }
    hook = office(earth, rule)
    _read_dictionaries(earth, has_semantics)
    client = "+79990001122" if has_semantics else "+79990001133"
    earth.sandbox.call(earth.add_client, "contact", client)
    first = ring(earth, hook, ANSWERED, client)
    ring(earth, hook, ANSWERED, first.retold.client)
    [item] = first.records(SPA)
    item.fields.update(stageId=f"DT{SPA}_12:SUCCESS")
    ring(earth, hook, ANSWERED, first.retold.client)
    assert len(first.records(SPA)) == 2, "the first is won: the next call opens another"
    assert [state for kind, state, _ in first.commands() if kind == "ReadOpen"] == ["done"]


def _read_dictionaries(earth: World, has_semantics: bool) -> None:
    with earth.app.app_context():
        portal_id = db.session.scalars(db.select(Portal.id)).one()
        db.session.rollback()
        crm_dictionaries.fetch(portal_id)
        row = db.session.get_one(Dictionary, portal_id)
        if not has_semantics:  # as 0.2.0 stored them
            statuses = {
                entity: [{"id": one["id"], "name": one["name"]} for one in rows]
                for entity, rows in row.content["statuses"].items()
            }
            row.content = {**row.content, "statuses": statuses}
        db.session.commit()


@pytest.mark.parametrize(
    ("create", "attempts"),
    [
        ({"stage_id": "GONE"}, 2),
        ({"category_id": 77}, 2),
        ({"category_id": 77, "stage_id": "C77:NEW", "fields": {"opportunity": "5"}}, 4),
    ],
)
def test_what_the_portal_refuses_falls_back(earth: World, create: dict[str, Any], attempts: int) -> None:
    parts = {"entity": "deal", "title": "Deal", **create}
    rule = {"name": "Deal", "when": {"direction": "in"}, "do": [{"create": parts}]}
    hook = office(earth, rule)
    told = ring(earth, hook, MISSED)
    [deal] = told.records(DEAL)
    assert deal.fields["stageId"] == "NEW"
    assert len([one for one in told.activities(DEAL, deal.id) if one.provider_id != "CRM_TODO"]) == 1
    commands = told.commands()
    deals = [state for kind, state, code in commands if kind == "CreateRecord"][1:]
    assert deals == ["dead"] * (attempts - 1) + ["done"], commands
    kinds = [kind for kind, _, _ in commands]
    last = max(place for place, kind in enumerate(kinds) if kind == "CreateRecord")
    assert last < kinds.index("Finish"), "what a rule makes exists before finish"
    assert told.call.state == "finished"


def test_a_dismissed_responsible_is_passed_over(earth: World) -> None:
    earth.sandbox.call(earth.add_users, [21])
    rule = {"name": "Deal", "when": {"direction": "in"}, "do": [{"create": {"entity": "deal", "responsible": 21}}]}
    hook = office(earth, rule)
    earth.portal.users[21].active = False
    told = ring(earth, hook, MISSED)
    [deal] = told.records(DEAL)
    assert deal.assigned_by_id in (11, 12)
    earth.portal.users[21].active = True
    with earth.app.app_context():
        db.session.query(PortalUser).filter_by(user_id=21).update({"active": True})
        db.session.commit()


def test_comment_and_notice(earth: World) -> None:
    rule = {
        "name": "Words",
        "when": {"direction": "in", "outcome": "missed"},
        "do": [
            {"comment": {"text": "{{ client.number }} was missed: {{ call.reason }}"}},
            {"notify": {"user": 12, "text": "{{ client.number }} rang {{ line.name }}"}},
        ],
    }
    hook = office(earth, rule)
    told = ring(earth, hook, MISSED)
    [contact] = told.records(CONTACT)
    comments = [one.text for one in earth.portal.comments.values() if one.owner == (CONTACT, contact.id)]
    assert len(comments) == 1
    assert comments[0].startswith(f"{told.retold.client} was missed: ")
    notices = [one.message for one in earth.portal.notifications.values() if told.retold.client in one.message]
    assert notices == [f"{told.retold.client} rang Moscow"]


def test_the_client_s_own_manager_or_who_is_there(earth: World) -> None:
    rule = {
        "name": "Owner",
        "when": {"direction": "in", "client": "known"},
        "do": [{"create": {"entity": "deal", "responsible": "owner", "if_absent": "next"}}],
    }
    hook = office(earth, rule)
    client = as_new_call(MISSED).client
    earth.sandbox.call(earth.add_client, "contact", client)
    contact = next(r for r in earth.portal.crm.records[CONTACT].values() if client.lstrip("+") in str(r.phones))
    contact.fields["assignedById"] = 13
    earth.portal.users[13].timeman = "OPENED"
    told = ring(earth, hook, MISSED, client)
    [deal] = told.records(DEAL)
    assert deal.assigned_by_id == 13
    deal.fields.update(stageSemanticId="F", closed="Y")
    for user, day in ((13, "CLOSED"), (11, "CLOSED"), (12, "OPENED")):
        earth.portal.users[user].timeman = day
    forget_days(earth)
    told = ring(earth, hook, MISSED, client)
    assert [one.assigned_by_id for one in told.records(DEAL) if one.id != deal.id] == [12]
    for user in (11, 12, 13):
        earth.portal.users[user].timeman = "OPENED"


def forget_days(earth: World) -> None:
    """What was told of working days counts for a minute: let it have passed."""
    with earth.app.app_context():
        db.session.query(PortalUser).update({"day_at": None})
        db.session.commit()


def test_a_web_form_s_record_is_used(earth: World) -> None:
    """The client filled a form while the telephone rang: found by number right before the deal is made."""
    hook = office(earth, DEAL_AND_TODO)
    retold = as_new_call(MISSED)
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for place, notice in enumerate(retold.notices):
        if place == len(retold.notices) // 2:
            earth.settle_quietly()
            earth.sandbox.call(earth.add_client, "contact", retold.client)
        assert post(hook, notice) == 200
    earth.settle(90)
    told = Told(earth, retold)
    [contact], [deal] = told.records(CONTACT), told.records(DEAL)
    assert contact.fields["name"] == "Known"
    assert deal.contact_ids == [contact.id]


def test_the_dry_run_of_many_calls(earth: World) -> None:
    office(earth, DEAL_AND_TODO)
    with earth.app.app_context():
        portal = db.session.query(Portal).one()
        calls = dry_run.load_last_calls(db.session(), portal.id, 50)
        draft = dry_run.settings.current(portal).model_copy(update={"rules": ()})
        rows = dry_run.compare_rules(db.session(), portal, draft, calls)
        assert len(rows) == len(calls) > 5
        by_rule = [row for row in rows if row.actual.rule == "Missed off hours"]
        assert by_rule
        assert all(row.differs and row.draft.rule is None for row in by_rule)
        assert all(row.call.started_at <= datetime.now(UTC) for row in rows)


def test_text_from_outside_is_never_a_reference_of_a_batch(earth: World) -> None:
    """A client who calls themselves `$result[…]`, and a rule that repeats it: it arrives as text, or bare of its power.
    """
    name = "$result[register][CALL_ID] $result[finish]"
    do = [
        {
            "create": {
                "entity": "deal",
                "title": "{{ client.name }}",
                "duplicate": "allow",
                "fields": {"comments": "{{ client.name }}"},
            }
        },
        {"todo": {"title": "{{ client.name }}"}},
        {"comment": {"text": "{{ client.name }}"}},
        {"notify": {"user": 12, "text": "{{ client.name }} {{ client.number }}"}},
    ]
    hook = office(earth, {"name": "Repeats", "when": {"outcome": "missed"}, "do": do})
    client = as_new_call(MISSED).client
    earth.sandbox.call(earth.add_client, "contact", client)
    contact = next(r for r in earth.portal.crm.records[CONTACT].values() if client.lstrip("+") in str(r.phones))
    contact.fields["name"] = name
    told = ring(earth, hook, MISSED, client)
    [deal] = told.records(DEAL)
    [todo] = [one for one in told.activities(DEAL, deal.id) if one.provider_id == "CRM_TODO"]
    comments = [one.text for one in earth.portal.comments.values() if one.owner == (DEAL, deal.id)]
    notices = [one.message for one in earth.portal.notifications.values() if client in one.message]
    texts = [deal.fields["title"], deal.fields["comments"], todo.subject, *comments, *notices]
    assert len(texts) == 5
    for text in texts:  # what was filled in would be the CALL_ID or an activity's number
        assert "result" in text, texts
        assert "CALL_ID" in text, texts
        assert "$result[" not in text, texts
    assert {state for _, state, _ in told.commands()} == {"done"}


@pytest.mark.parametrize(
    ("when", "requests"),
    [({"direction": "in"}, 1), ({"outcome": "missed", "client": "new"}, 2)],
    ids=["at the ring", "at the end"],
)
def test_the_end_of_a_call_is_one_request_or_two(earth: World, when: dict[str, Any], requests: int) -> None:
    """Finish and all that the rule makes ride in one batch; one look-up comes first where a form may have made the
    client meanwhile.
    """
    do = [*DEAL_AND_TODO["do"], {"comment": {"text": "Missed"}}, {"notify": {"user": 12, "text": "{{ call.outcome }}"}}]  # type: ignore[misc]
    hook = office(earth, {"name": "All", "when": when, "do": do})
    retold = as_new_call(MISSED)
    for notice in retold.notices[:-1]:
        assert post(hook, notice) == 200
    earth.settle_quietly()
    before = earth.portal.hits
    assert post(hook, retold.notices[-1]) == 200
    earth.settle(60)
    assert earth.portal.hits - before == requests, Told(earth, retold).commands()
    kinds = [kind for kind, _, _ in Told(earth, retold).commands()]
    assert {"Finish", "CreateRecord", "AddTodo", "AddComment", "Notify", "Bind"} <= set(kinds)
