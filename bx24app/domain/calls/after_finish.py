"""After finish: bind what it did not bind, give records to their responsible, to-dos, comments; corrections that came late."""

from __future__ import annotations

from bx24app.domain.calls import crm_records, record_queries
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import End, View
from bx24app.domain.calls.commands import (
    AddComment,
    AddTodo,
    Bind,
    CloseTodo,
    CreateRecord,
    ReadTodo,
    Reassign,
    Record,
    Ref,
    RetitleTodo,
    SetActivityUser,
)
from bx24app.domain.calls.ledger import Entry
from bx24app.domain.calls.plan import Plan
from bx24app.domain.calls.rule_case import Planned, who
from bx24app.domain.rules.actions import Comment, Create, Todo
from bx24app.domain.rules.templates import speaks_of_the_count

AGAIN_SECONDS = 2
"""How soon to look again while another call's to-do is on its way to the portal."""


def settle(view: View, end: End, plan: Plan) -> float | None:
    """What follows finish. Returns when to look again by itself (our epoch)."""
    finish = view.ledger.finish()
    if finish is None or finish.state == "dead":
        return None
    _bind_all(view, plan)
    for record, holder, wanted in _held(view, end, plan, finish):
        _reassign(view, record, holder, wanted)
    _hand_over(view, end)
    again = _todos(view, end, plan)
    _comments(view, plan)
    _correct_activity(view, end, finish)
    return again


# --- bindings and responsible ----------------------------------------------------------------------------------------


def _bind_all(view: View, plan: Plan) -> None:
    """Finish binds what has the client's number where register bound nothing: deals and smart processes it never finds."""
    bound = bool((record_queries.facts(view.ledger.register()) or {}).get("record"))
    for _, command in record_queries.made(view):
        if bound or command.entity not in ("lead", "contact"):
            _bind(view, Record(command.entity, Ref(record_queries.base(command.key), "id")))
    for one in plan.records:
        used = crm_records.in_use(view, plan, one) if plan.rule is not None else None
        if used is not None and used != record_queries.client_record(view):
            _bind(view, used)


def _bind(view: View, record: Record) -> None:
    bound = [e.command for e in view.ledger if isinstance(e.command, Bind) and e.command.todo is None]
    if any(record_queries.same(view, one.record, record) for one in bound):
        return
    view.ledger.add(Bind(key=f"bind-{_name(record)}", record=record))


def _name(record: Record) -> str:
    return record.id.key if isinstance(record.id, Ref) else f"{record.entity}-{record.id}"


def _held(view: View, end: End, plan: Plan, finish: Entry) -> list[tuple[Record, int, int]]:
    """Records that this call made: (record, who holds it before any reassignment of ours, whose it shall be)."""
    finisher: int = finish.command.user_id  # type: ignore[union-attr]
    held = [(record, finisher, end.responsible) for record in record_queries.by_portal(view)]
    wanted = {crm_records.key_of(view, plan, one): _whose(view, plan, one) for one in plan.records}
    for record, command in record_queries.made(view):
        key = record_queries.base(command.key)
        if record_queries.refusals(view, key) and command.responsible == view.policy.settings.portal.default_user_id:
            continue  # nobody else could have it: whoever was refused is not given it after all
        held.append((record, command.responsible, wanted.get(key, _contacts(wanted, end, command))))
    return held


def _whose(view: View, plan: Plan, one: Planned) -> int:
    assert isinstance(one.action, Create)  # noqa: S101 - narrowed by the caller
    return who(plan.case, view.policy, one.action.responsible, one.action.if_absent)


def _contacts(wanted: dict[str, int], end: End, command: CreateRecord) -> int:
    """A contact that was made for a deal goes with it."""
    return next(iter(wanted.values()), end.responsible)


def _reassign(view: View, record: Record, holder: int | None, user: int) -> None:
    given = [
        e.command.user_id
        for e in view.ledger
        if isinstance(e.command, Reassign) and record_queries.same(view, e.command.record, record)
    ]
    if (given[-1] if given else holder) == user:
        return
    base = f"assign-{record.entity}-{_name(record) if isinstance(record.id, Ref) else record.id}-{user}"
    key = base if view.ledger.by_key(base) is None else f"{base}~{len(given) + 1}"
    view.ledger.add(Reassign(key=key, record=record, user_id=user))


def _hand_over(view: View, end: End) -> None:
    """Under `always`, a transfer takes the client's existing record along."""
    known = record_queries.client_record(view)
    if known is None or end.transferred_to is None or view.policy.calls.transfer_responsible != "always":
        return
    if not any(record_queries.same(view, known, one) for one in record_queries.by_portal(view)):
        _reassign(view, known, None, end.responsible)


# --- to-dos and comments ---------------------------------------------------------------------------------------------


def _place(view: View, plan: Plan) -> Record | None:
    """Where to-dos and comments hang: on the rule's own record, else on the client's."""
    for one in plan.records if plan.rule is not None else ():
        used = crm_records.in_use(view, plan, one)
        if used is not None:
            return used
        entry = record_queries.alive(view, crm_records.key_of(view, plan, one))
        if entry is not None and isinstance(entry.command, CreateRecord):
            return Record(entry.command.entity, Ref(record_queries.base(entry.command.key), "id"))
    return _clients(view) or next((record for record, _ in record_queries.made(view)), None)


def _clients(view: View) -> Record | None:
    """The client's own record, the contact that was made for them included."""
    own = record_queries.client_record(view)
    if own is None and record_queries.alive(view, crm_records.CONTACT) is not None:
        own = Record("contact", Ref(crm_records.CONTACT, "id"))
    return own


def _todos(view: View, end: End, plan: Plan) -> float | None:
    """To-dos of the plan. Repeated misses of one client fold into the open one; an answered call, either way, closes it."""
    if view.client is None or not view.known.tells:
        return None
    again = _close(view) if end.answered else None
    wanted = [one for one in plan.actions if isinstance(one.action, Todo)]
    if not wanted or any(isinstance(e.command, AddTodo | RetitleTodo) and not e.must_be_made_again for e in view.ledger):
        return again
    if end.outcome == "missed" and view.known.todos:
        return _count(view, plan, wanted)
    _add(view, plan, wanted)
    return again


def _close(view: View) -> float | None:
    for todo in view.known.todos:
        if todo.activity_id is None:
            return view.clock.now + AGAIN_SECONDS
        key = f"close-{todo.activity_id}"
        if view.ledger.by_key(key) is None:
            view.ledger.add(CloseTodo(key=key, activity_id=todo.activity_id))
    return None


def _count(view: View, plan: Plan, wanted: list[Planned]) -> float | None:
    """The client was missed before: is the to-do still open? Then it counts this miss too."""
    still = []
    for todo in view.known.todos:
        if todo.activity_id is None:
            return view.clock.now + AGAIN_SECONDS
        key = f"look-todo-{todo.activity_id}"
        if view.ledger.by_key(key) is None:
            view.ledger.add(ReadTodo(key=key, activity_id=todo.activity_id))
        said = plans.answered(view.ledger.by_key(key))
        if said is None:
            return None  # its answer folds this call again
        if said.get("open"):
            still.append(todo)
    if not still:
        _add(view, plan, wanted)
    for todo in still:
        misses = todo.misses + 1
        action = wanted[0].action
        counts = isinstance(action, Todo) and speaks_of_the_count(action.title or "")
        title = wanted[0].text if counts else f"{todo.title} (×{misses})"
        view.ledger.add(
            RetitleTodo(
                key=f"retitle-{todo.activity_id}",
                record=todo.record,
                activity_id=int(todo.activity_id or 0),
                title=title,
                deadline_at=todo.deadline_at,
                misses=misses,
            )
        )
    return None


def _add(view: View, plan: Plan, wanted: list[Planned]) -> None:
    """On the rule's record, and bound to the client's too: whoever opens either sees what is to be done."""
    place = _place(view, plan)
    again = view.ledger.count(AddTodo) // len(wanted)
    if place is None or again > 2:
        return
    for number, one in enumerate(wanted):
        key = "todo" if number == 0 else f"todo-{one.place}"
        view.ledger.add(
            AddTodo(
                key=key if not again else f"{key}~{again + 1}",
                record=place,
                responsible=one.user if again < 2 else view.policy.settings.portal.default_user_id,
                title=one.text or view.policy.words.title("todo", view.number),
                deadline_at=one.deadline_at or view.entry.started_at,
            )
        )
        client = _clients(view)
        if client is not None and not record_queries.same(view, client, place):
            view.ledger.add(Bind(key=f"bind-{key}~{again + 1}" if again else f"bind-{key}", record=client, todo=key))


def _comments(view: View, plan: Plan) -> None:
    place = _place(view, plan)
    for one in plan.actions:
        key = f"comment-{one.place}"
        if isinstance(one.action, Comment) and place is not None and view.known.makes and view.ledger.by_key(key) is None:
            view.ledger.add(AddComment(key=key, record=place, text=one.text))


def _correct_activity(view: View, end: End, finish: Entry) -> None:
    """A leg that came after finish may show another talker: the activity follows, finish is never repeated."""
    if finish.state != "done" or not finish.answer.get("activity_id"):
        return
    given = [e.command.user_id for e in view.ledger if isinstance(e.command, SetActivityUser)]
    holder = given[-1] if given else finish.command.user_id  # type: ignore[union-attr]
    if holder != end.user:
        view.ledger.add(SetActivityUser(key=f"activity-user-{len(given) + 1}", user_id=end.user))
