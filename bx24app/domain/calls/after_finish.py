"""What follows finish: records that were held back, bindings that finish did not make, responsibles, to-dos, comments,
and corrections.

The decision calls `add_follow_ups` at every fold after finish, so each step adds only what is missing.
"""

from __future__ import annotations

from bx24app.domain.calls import crm_records, record_queries
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import CallView, Outcome
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
from bx24app.domain.calls.ledger import LedgerEntry
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.rule_case import PlannedAction, resolve_role
from bx24app.domain.rules.actions import CommentAction, CreateAction, TodoAction
from bx24app.domain.rules.templates import uses_miss_count

RECHECK_SECONDS = 2
"""How soon to look again while another call's to-do is on its way to the portal."""


def add_follow_ups(view: CallView, end: Outcome, plan: CallPlan) -> float | None:
    """Add what follows finish. Returns when to fold the call again (our epoch seconds); None: with the next answer."""
    finish = view.ledger.finish_entry()
    if finish is None or finish.state == "dead":
        return None
    crm_records.create_delayed_records(view, plan)
    _add_all_binds(view, plan)
    for record, holder, wanted in _record_holders(view, end, plan, finish):
        _add_reassign(view, record, holder, wanted)
    _reassign_client_record(view, end)
    again = _update_todos(view, end, plan)
    _add_comments(view, plan)
    _correct_activity(view, end, finish)
    return again


# --- bindings and responsible ----------------------------------------------------------------------------------------


def _add_all_binds(view: CallView, plan: CallPlan) -> None:
    """Bind what finish does not. Finish binds records with the client's number if register bound none, and never
    deals or smart processes."""
    bound = bool((record_queries.get_done_answer(view.ledger.register_entry()) or {}).get("record"))
    for _, command in record_queries.list_created_records(view):
        if bound or command.entity not in ("lead", "contact"):
            _bind_once(view, Record(command.entity, Ref(record_queries.base_key(command.key), "id")))
    for planned in plan.record_actions:
        used = crm_records.find_existing_record(view, plan, planned) if plan.rule is not None else None
        if used is not None and used != record_queries.find_client_record(view):
            _bind_once(view, used)


def _bind_once(view: CallView, record: Record) -> None:
    commands = [entry.command for entry in view.ledger]
    bound = [command for command in commands if isinstance(command, Bind) and command.todo is None]
    if any(record_queries.is_same_record(view, command.record, record) for command in bound):
        return
    view.ledger.add_command(Bind(key=f"bind-{_record_name(record)}", record=record))


def _record_name(record: Record) -> str:
    return record.id.key if isinstance(record.id, Ref) else f"{record.entity}-{record.id}"


def _record_holders(view: CallView, end: Outcome, plan: CallPlan, finish: LedgerEntry) -> list[tuple[Record, int, int]]:
    """Records that this call made: (record, responsible before any reassignment, wanted responsible)."""
    finisher: int = finish.command.user_id  # type: ignore[union-attr]
    holders = [(record, finisher, end.responsible_id) for record in record_queries.list_portal_records(view)]
    default_user = view.policy.settings.portal.default_user_id
    wanted = {
        crm_records.record_key(view, plan, planned): _intended_responsible(view, plan, planned)
        for planned in plan.record_actions
    }
    for record, command in record_queries.list_created_records(view):
        key = record_queries.base_key(command.key)
        if record_queries.count_refusals(view, key) and command.responsible == default_user:
            continue  # the portal refused the wanted responsible, so the default user keeps the record
        holders.append((record, command.responsible, wanted.get(key, _contact_responsible(wanted, end, command))))
    return holders


def _intended_responsible(view: CallView, plan: CallPlan, planned: PlannedAction) -> int:
    assert isinstance(planned.action, CreateAction)  # noqa: S101 - narrowed by the caller
    return resolve_role(plan.case, view.policy, planned.action.responsible, planned.action.if_absent)


def _contact_responsible(wanted: dict[str, int], end: Outcome, command: CreateRecord) -> int:
    """A contact that was made for a deal gets the deal's responsible."""
    return next(iter(wanted.values()), end.responsible_id)


def _add_reassign(view: CallView, record: Record, holder: int | None, user: int) -> None:
    commands = [entry.command for entry in view.ledger]
    reassigned = [
        command.user_id
        for command in commands
        if isinstance(command, Reassign) and record_queries.is_same_record(view, command.record, record)
    ]
    if (reassigned[-1] if reassigned else holder) == user:
        return
    base = f"assign-{record.entity}-{_record_name(record) if isinstance(record.id, Ref) else record.id}-{user}"
    key = base if view.ledger.find_by_key(base) is None else f"{base}~{len(reassigned) + 1}"
    view.ledger.add_command(Reassign(key=key, record=record, user_id=user))


def _reassign_client_record(view: CallView, end: Outcome) -> None:
    """With `transfer_responsible: always`, the client's existing record follows the transfer too."""
    known = record_queries.find_client_record(view)
    if known is None or end.transferred_to is None or view.policy.calls.transfer_responsible != "always":
        return
    records = record_queries.list_portal_records(view)
    if not any(record_queries.is_same_record(view, known, record) for record in records):
        _add_reassign(view, known, None, end.responsible_id)


# --- to-dos and comments ---------------------------------------------------------------------------------------------


def _target_record(view: CallView, plan: CallPlan) -> Record | None:
    """The record that gets to-dos and comments: the rule's own one, else the client's."""
    for planned in plan.record_actions if plan.rule is not None else ():
        used = crm_records.find_existing_record(view, plan, planned)
        if used is not None:
            return used
        entry = record_queries.find_live_attempt(view, crm_records.record_key(view, plan, planned))
        if entry is not None and isinstance(entry.command, CreateRecord):
            return Record(entry.command.entity, Ref(record_queries.base_key(entry.command.key), "id"))
    return _client_or_contact(view) or next((record for record, _ in record_queries.list_created_records(view)), None)


def _client_or_contact(view: CallView) -> Record | None:
    """The client's record, or the contact that was made for the client."""
    record = record_queries.find_client_record(view)
    if record is None and record_queries.find_live_attempt(view, crm_records.CREATE_CONTACT_KEY) is not None:
        record = Record("contact", Ref(crm_records.CREATE_CONTACT_KEY, "id"))
    return record


def _update_todos(view: CallView, end: Outcome, plan: CallPlan) -> float | None:
    """To-dos of the plan. Repeated misses of a client are counted in the open to-do; an answered call in either
    direction closes it."""
    if view.crm_number is None or not view.context.may_notify:
        return None
    again = _close_todos(view) if end.is_answered else None
    wanted = [planned for planned in plan.actions if isinstance(planned.action, TodoAction)]
    is_added = any(
        isinstance(entry.command, AddTodo | RetitleTodo) and not entry.must_be_repeated for entry in view.ledger
    )
    if not wanted or is_added:
        return again
    if end.result == "missed" and view.context.open_todos:
        return _count_miss(view, plan, wanted)
    _add_todos(view, plan, wanted)
    return again


def _close_todos(view: CallView) -> float | None:
    for todo in view.context.open_todos:
        if todo.activity_id is None:
            return view.clock.now + RECHECK_SECONDS
        key = f"close-{todo.activity_id}"
        if view.ledger.find_by_key(key) is None:
            view.ledger.add_command(CloseTodo(key=key, activity_id=todo.activity_id))
    return None


def _count_miss(view: CallView, plan: CallPlan, wanted: list[PlannedAction]) -> float | None:
    """Count this miss in the open to-dos of the client's earlier misses. If all of them are done, or the portal does
    not tell, add a to-do."""
    open_todos = []
    for todo in view.context.open_todos:
        if todo.activity_id is None:
            return view.clock.now + RECHECK_SECONDS
        key = f"look-todo-{todo.activity_id}"
        if view.ledger.find_by_key(key) is None:
            view.ledger.add_command(ReadTodo(key=key, activity_id=todo.activity_id))
        answer = plans.get_lookup_answer(view.ledger.find_by_key(key))
        if answer is None:
            return None  # the answer folds this call again
        if answer.get("open"):
            open_todos.append(todo)
    if not open_todos:
        _add_todos(view, plan, wanted)
    for todo in open_todos:
        misses = todo.misses + 1
        action = wanted[0].action
        counts = isinstance(action, TodoAction) and uses_miss_count(action.title or "")
        title = wanted[0].text if counts else f"{todo.title} (×{misses})"
        view.ledger.add_command(
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


def _add_todos(view: CallView, plan: CallPlan, wanted: list[PlannedAction]) -> None:
    """Add the to-dos to the rule's record and bind them to the client's record too, so that both show them."""
    target = _target_record(view, plan)
    again = view.ledger.count_commands(AddTodo) // len(wanted)
    if target is None or again > 2:
        return
    for number, planned in enumerate(wanted):
        key = "todo" if number == 0 else f"todo-{planned.position}"
        view.ledger.add_command(
            AddTodo(
                key=key if not again else f"{key}~{again + 1}",
                record=target,
                responsible=planned.user_id if again < 2 else view.policy.settings.portal.default_user_id,
                title=planned.text or view.policy.texts.make_title("todo", view.phone_number),
                deadline_at=planned.deadline_at or view.entry.started_at,
            )
        )
        client = _client_or_contact(view)
        if client is not None and not record_queries.is_same_record(view, client, target):
            bind_key = f"bind-{key}~{again + 1}" if again else f"bind-{key}"
            view.ledger.add_command(Bind(key=bind_key, record=client, todo=key))


def _add_comments(view: CallView, plan: CallPlan) -> None:
    target = _target_record(view, plan)
    if target is None or not view.context.may_create_records:
        return
    for planned in plan.actions:
        key = f"comment-{planned.position}"
        if isinstance(planned.action, CommentAction) and view.ledger.find_by_key(key) is None:
            view.ledger.add_command(AddComment(key=key, record=target, text=planned.text))


def _correct_activity(view: CallView, end: Outcome, finish: LedgerEntry) -> None:
    """A leg that arrives after finish may show another talker. Finish is never repeated, so the activity gets the
    new user."""
    if finish.state != "done" or not finish.answer.get("activity_id"):
        return
    users = [entry.command.user_id for entry in view.ledger if isinstance(entry.command, SetActivityUser)]
    holder = users[-1] if users else finish.command.user_id  # type: ignore[union-attr]
    if holder != end.user_id:
        view.ledger.add_command(SetActivityUser(key=f"activity-user-{len(users) + 1}", user_id=end.user_id))
