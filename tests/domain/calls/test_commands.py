"""Commands survive the outbox: written as JSON, read back the same."""

from __future__ import annotations

import json

import pytest

from bx24app.domain.calls import command_json, commands
from bx24app.domain.calls.commands import Record, Ref

SAMPLES = [
    commands.Register(
        key="register",
        user_id=1,
        number="+79160000001",
        type=2,
        started_at=5,
        line="7",
        external_id="m:1",
        record=Record("lead", 3),
    ),
    commands.ShowCard(key="show", users=(1, 2)),
    commands.HideCard(key="hide", users=(1,)),
    commands.CreateRecord(
        key="create-deal",
        entity="deal",
        responsible=1,
        title="x",
        origin="o",
        contact=Ref("create-contact", "id"),
        fields=(("a", 1),),
    ),
    commands.Finish(key="finish", user_id=1, seconds=2, status="200"),
    commands.Reassign(key="assign", record=Record("deal", Ref("create-deal", "id")), user_id=2),
    commands.Bind(key="bind", record=Record("deal", 5)),
    commands.AddTodo(key="todo", record=Record("contact", 5), responsible=1, title="t", deadline_at=9),
    commands.RetitleTodo(
        key="retitle-7", record=Record("deal", 5), activity_id=7, title="t (×2)", deadline_at=9, misses=2
    ),
    commands.AddComment(key="comment-0", record=Record("130", Ref("create-130", "id")), text="t"),
    commands.ReadOpen(key="open-deal-0", entity="deal", record=Record("company", 5), category_id=0),
    commands.ReadDay(key="day-3", user_id=3),
    commands.ReadTodo(key="look-todo-7", activity_id=7),
    commands.CloseTodo(key="close", activity_id=4),
    commands.SetActivityUser(key="activity-user-1", user_id=3),
    commands.ReadClient(key="read-client", record=Record("contact", 5), number="+7916"),
    commands.ReadDeals(key="read-deals", record=Record("contact", 5)),
    commands.Notify(key="notify", user_id=1, text="t"),
    commands.Route(key="route", command_id="c", leg="l", extension="101"),
    commands.Dial(key="dial", command_id="c", to_number="+7916", extension="101"),
]


@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: type(command).__name__)
def test_round_trip(command: commands.AnyCommand) -> None:
    text = json.dumps(command_json.to_json(command))
    assert command_json.from_json(type(command).__name__, json.loads(text)) == command


def test_every_kind_has_a_sample() -> None:
    assert {type(command).__name__ for command in SAMPLES} == set(command_json.KINDS)
