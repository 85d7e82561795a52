"""After finish: bind what it did not bind, give records to their responsible, to-dos, comments; corrections that came late."""

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
    """What follows finish. Returns when to look again by itself (our epoch)."""
    finish = view.ledger.finish_entry()
    if finish is None or finish.state == "dead":
        return None
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
    """Finish binds what has the client's number where register bound nothing: deals and smart processes it never finds."""
    bound = bool((record_queries.get_done_answer(view.ledger.register_entry()) or {}).get("record"))
    for _, command in record_queries.list_created_records(view):
        if bound or command.entity not in ("lead", "contact"):
            _bind_once(view, Record(command.entity, Ref(record_queries.base_key(command.key), "id")))
    for one in plan.record_actions:
        used = crm_records.find_existing_record(view, plan, one) if plan.rule is not None else None
        if used is not None and used != record_queries.find_client_record(view):
            _bind_once(view, used)


def _bind_once(view: CallView, record: Record) -> None:
    bound = [e.command for e in view.ledger if isinstance(e.command, Bind) and e.command.todo is None]
    if any(record_queries.is_same_record(view, one.record, record) for one in bound):
        return
    view.ledger.add_command(Bind(key=f"bind-{_record_name(record)}", record=record))


def _record_name(record: Record) -> str:
    return record.id.key if isinstance(record.id, Ref) else f"{record.entity}-{record.id}"


def _record_holders(view: CallView, end: Outcome, plan: CallPlan, finish: LedgerEntry) -> list[tuple[Record, int, int]]:
    """Records that this call made: (record, who holds it before any reassignment of ours, whose it shall be)."""
    finisher: int = finish.command.user_id  # type: ignore[union-attr]
    held = [(record, finisher, end.responsible_id) for record in record_queries.list_portal_records(view)]
    wanted = {crm_records.record_key(view, plan, one): _intended_responsible(view, plan, one) for one in plan.record_actions}
    for record, command in record_queries.list_created_records(view):
        key = record_queries.base_key(command.key)
        if record_queries.count_refusals(view, key) and command.responsible == view.policy.settings.portal.default_user_id:
            continue  # nobody else could have it: whoever was refused is not given it after all
        held.append((record, command.responsible, wanted.get(key, _contact_responsible(wanted, end, command))))
    return held


def _intended_responsible(view: CallView, plan: CallPlan, one: PlannedAction) -> int:
    assert isinstance(one.action, CreateAction)  # noqa: S101 - narrowed by the caller
    return resolve_role(plan.case, view.policy, one.action.responsible, one.action.if_absent)


def _contact_responsible(wanted: dict[str, int], end: Outcome, command: CreateRecord) -> int:
    """A contact that was made for a deal goes with it."""
    return next(iter(wanted.values()), end.responsible_id)


def _add_reassign(view: CallView, record: Record, holder: int | None, user: int) -> None:
    given = [
        e.command.user_id
        for e in view.ledger
        if isinstance(e.command, Reassign) and record_queries.is_same_record(view, e.command.record, record)
    ]
    if (given[-1] if given else holder) == user:
        return
    base = f"assign-{record.entity}-{_record_name(record) if isinstance(record.id, Ref) else record.id}-{user}"
    key = base if view.ledger.find_by_key(base) is None else f"{base}~{len(given) + 1}"
    view.ledger.add_command(Reassign(key=key, record=record, user_id=user))


def _reassign_client_record(view: CallView, end: Outcome) -> None:
    """Under `always`, a transfer takes the client's existing record along."""
    known = record_queries.find_client_record(view)
    if known is None or end.transferred_to is None or view.policy.calls.transfer_responsible != "always":
        return
    if not any(record_queries.is_same_record(view, known, one) for one in record_queries.list_portal_records(view)):
        _add_reassign(view, known, None, end.responsible_id)


# --- to-dos and comments ---------------------------------------------------------------------------------------------


def _target_record(view: CallView, plan: CallPlan) -> Record | None:
    """Where to-dos and comments hang: on the rule's own record, else on the client's."""
    for one in plan.record_actions if plan.rule is not None else ():
        used = crm_records.find_existing_record(view, plan, one)
        if used is not None:
            return used
        entry = record_queries.find_live_attempt(view, crm_records.record_key(view, plan, one))
        if entry is not None and isinstance(entry.command, CreateRecord):
            return Record(entry.command.entity, Ref(record_queries.base_key(entry.command.key), "id"))
    return _client_or_contact(view) or next((record for record, _ in record_queries.list_created_records(view)), None)


def _client_or_contact(view: CallView) -> Record | None:
    """The client's own record, the contact that was made for them included."""
    own = record_queries.find_client_record(view)
    if own is None and record_queries.find_live_attempt(view, crm_records.CREATE_CONTACT_KEY) is not None:
        own = Record("contact", Ref(crm_records.CREATE_CONTACT_KEY, "id"))
    return own


def _update_todos(view: CallView, end: Outcome, plan: CallPlan) -> float | None:
    """To-dos of the plan. Repeated misses of one client fold into the open one; an answered call, either way, closes it."""
    if view.client_number is None or not view.context.may_notify:
        return None
    again = _close_todos(view) if end.is_answered else None
    wanted = [one for one in plan.actions if isinstance(one.action, TodoAction)]
    if not wanted or any(isinstance(e.command, AddTodo | RetitleTodo) and not e.must_be_repeated for e in view.ledger):
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
    """The client was missed before: is the to-do still open? Then it counts this miss too."""
    still = []
    for todo in view.context.open_todos:
        if todo.activity_id is None:
            return view.clock.now + RECHECK_SECONDS
        key = f"look-todo-{todo.activity_id}"
        if view.ledger.find_by_key(key) is None:
            view.ledger.add_command(ReadTodo(key=key, activity_id=todo.activity_id))
        said = plans.get_lookup_answer(view.ledger.find_by_key(key))
        if said is None:
            return None  # its answer folds this call again
        if said.get("open"):
            still.append(todo)
    if not still:
        _add_todos(view, plan, wanted)
    for todo in still:
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
    """On the rule's record, and bound to the client's too: whoever opens either sees what is to be done."""
    place = _target_record(view, plan)
    again = view.ledger.count_commands(AddTodo) // len(wanted)
    if place is None or again > 2:
        return
    for number, one in enumerate(wanted):
        key = "todo" if number == 0 else f"todo-{one.position}"
        view.ledger.add_command(
            AddTodo(
                key=key if not again else f"{key}~{again + 1}",
                record=place,
                responsible=one.user_id if again < 2 else view.policy.settings.portal.default_user_id,
                title=one.text or view.policy.texts.make_title("todo", view.phone_number),
                deadline_at=one.deadline_at or view.entry.started_at,
            )
        )
        client = _client_or_contact(view)
        if client is not None and not record_queries.is_same_record(view, client, place):
            view.ledger.add_command(Bind(key=f"bind-{key}~{again + 1}" if again else f"bind-{key}", record=client, todo=key))


def _add_comments(view: CallView, plan: CallPlan) -> None:
    place = _target_record(view, plan)
    for one in plan.actions:
        key = f"comment-{one.position}"
        if isinstance(one.action, CommentAction) and place is not None and view.context.may_create_records and view.ledger.find_by_key(key) is None:
            view.ledger.add_command(AddComment(key=key, record=place, text=one.text))


def _correct_activity(view: CallView, end: Outcome, finish: LedgerEntry) -> None:
    """A leg that came after finish may show another talker: the activity follows, finish is never repeated."""
    if finish.state != "done" or not finish.answer.get("activity_id"):
        return
    given = [e.command.user_id for e in view.ledger if isinstance(e.command, SetActivityUser)]
    holder = given[-1] if given else finish.command.user_id  # type: ignore[union-attr]
    if holder != end.user_id:
        view.ledger.add_command(SetActivityUser(key=f"activity-user-{len(given) + 1}", user_id=end.user_id))
