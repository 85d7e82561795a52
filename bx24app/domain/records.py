"""What a call makes in the CRM by `calls.*`, who gets it, and what is bound or reassigned after finish.

Facts of Bitrix24 behind it (reference, parts 1 and 2): CRM_CREATE makes the lead at register; finish gives what register made to
its USER_ID, and only that; finish looks for the number again where register bound nothing, so a record made in between with
the number is bound by itself, a deal is not.
"""

from __future__ import annotations

from typing import Any

from bx24app.domain.commands import AddTodo, Bind, CreateRecord, Reassign, Record, Ref, SetActivityUser
from bx24app.domain.ledger import Entry
from bx24app.domain.view import End, View

TODO_SECONDS = 30 * 60
"""Deadline of the to-do of a missed call, from the call's end."""


def decided(view: View, end: End) -> str | None:
    """What an unknown client becomes: lead, contact, nothing; None while the outcome can still change it."""
    calls = view.policy.calls
    if view.client is None or view.known.continues is not None:
        return "nothing"
    if view.entry.direction != "in":
        return calls.outgoing
    missed = "contact" if calls.missed == "activity" else calls.missed
    if end.answered:
        return calls.answered
    if end.complete:
        return missed
    return missed if missed == calls.answered else None


def _facts(entry: Entry | None) -> dict[str, Any] | None:
    return entry.answer if entry is not None and entry.state == "done" else None


def client_record(view: View) -> Record | None:
    """The client's own record, where the portal told one at register (known client, or made by register)."""
    facts = _facts(view.ledger.register())
    if not facts:
        return None
    found = facts.get("record")
    if found is None:
        found = next((made for made in facts.get("created", []) if made["entity"] != "deal"), None)
    return Record(found["entity"], int(found["id"])) if found else None


def unknown(view: View) -> bool | None:
    """Is there no record of this client? None: the portal has not answered yet."""
    facts = _facts(view.ledger.register())
    if facts is None:
        return None
    return not facts.get("record") and not facts.get("created")


def settled(view: View, end: End) -> bool:
    """May finish leave: has what the call makes been asked for, or does it need no asking?"""
    register = view.ledger.register()
    if register is None:
        return False
    if register.state == "dead" or getattr(register.command, "create", False):
        return True
    needs_client = decided(view, end) not in (None, "nothing") or _wants_todo(view, end)
    return not needs_client or unknown(view) is not None


def make(view: View, end: End) -> None:
    """Make the records of an unknown client as early as what decides them is known, and before finish."""
    register = view.ledger.register()
    if register is None or getattr(register.command, "create", False) or view.ledger.finish() is not None:
        return
    what = decided(view, end)
    if what in (None, "nothing") or not unknown(view) or any(isinstance(e.command, CreateRecord) for e in view.ledger):
        return
    simple = what == "lead" and view.policy.crm_mode == 2
    first = "contact" if simple else str(what)
    title = view.policy.words.title("in" if view.entry.direction == "in" else "out", view.number)
    key = f"create-{first}"
    view.ledger.add(
        CreateRecord(
            key=key,
            entity=first,
            responsible=end.responsible,
            title=view.number if first == "contact" else title,
            origin=f"{view.external_id}/{key}",
            number=view.client,
        )
    )
    if simple:
        view.ledger.add(
            CreateRecord(
                key="create-deal",
                entity="deal",
                responsible=end.responsible,
                title=title,
                origin=f"{view.external_id}/create-deal",
                contact=Ref(key, "id"),
                category_id=0,
            )
        )


def _wants_todo(view: View, end: End) -> bool:
    missed = end.complete and end.outcome == "missed" and view.known.continues is None
    return missed and view.client is not None and view.policy.calls.missed == "activity"


def settle(view: View, end: End) -> None:
    """After finish: bind what it did not bind, give records to their responsible, add the to-do of a missed call."""
    finish = view.ledger.finish()
    if finish is None or finish.state == "dead":
        return
    for made in [e for e in view.ledger if isinstance(e.command, CreateRecord) and e.state != "dead"]:
        if made.command.entity == "deal":  # type: ignore[union-attr]
            _bind(view, Record("deal", Ref(made.command.key, "id")))
    for record, holder in _made(view, finish):
        _reassign(view, record, holder, end.responsible)
    known = client_record(view)
    if (
        end.transferred_to
        and view.policy.calls.transfer_responsible == "always"
        and known
        and not _made_by_call(view, known)
    ):
        _reassign(view, known, None, end.responsible)
    if _wants_todo(view, end):
        _todo(view, end)
    _correct_activity(view, end, finish)


def _made(view: View, finish: Entry) -> list[tuple[Record, int | None]]:
    """Records that this call made, each with the user who holds it (before any reassignment of ours)."""
    made: list[tuple[Record, int | None]] = []
    facts = _facts(view.ledger.register()) or {}
    finisher = finish.command.user_id  # type: ignore[union-attr]
    made.extend((Record(item["entity"], int(item["id"])), finisher) for item in facts.get("created", []))
    for entry in view.ledger:
        if isinstance(entry.command, CreateRecord) and entry.state != "dead":
            number = entry.answer.get("id")
            target: int | Ref = int(number) if number else Ref(entry.command.key, "id")
            made.append((Record(entry.command.entity, target), entry.command.responsible))
    return made


def _made_by_call(view: View, record: Record) -> bool:
    facts = _facts(view.ledger.register()) or {}
    return any(item["entity"] == record.entity and int(item["id"]) == record.id for item in facts.get("created", []))


def _name(record: Record) -> str:
    return f"{record.entity}-{record.id.key if isinstance(record.id, Ref) else record.id}"


def _bind(view: View, record: Record) -> None:
    key = f"bind-{record.id.key if isinstance(record.id, Ref) else _name(record)}"
    if view.ledger.by_key(key) is None:
        view.ledger.add(Bind(key=key, record=record))


def _same(view: View, left: Record, right: Record) -> bool:
    def number(record: Record) -> object:
        if isinstance(record.id, Ref):
            made = view.ledger.by_key(record.id.key)
            return made.answer.get("id") if made and made.answer.get("id") else record.id
        return record.id

    return left.entity == right.entity and str(number(left)) == str(number(right))


def _reassign(view: View, record: Record, holder: int | None, user: int) -> None:
    given = [
        e.command.user_id
        for e in view.ledger
        if isinstance(e.command, Reassign) and _same(view, e.command.record, record)
    ]
    if (given[-1] if given else holder) == user:
        return
    base = f"assign-{_name(record)}-{user}"
    key = base if view.ledger.by_key(base) is None else f"{base}~{len(given) + 1}"
    view.ledger.add(Reassign(key=key, record=record, user_id=user))


def _todo(view: View, end: End) -> None:
    if view.ledger.by_key("todo") is not None:
        return
    record = client_record(view)
    if record is None and view.ledger.by_key("create-contact") is not None:
        record = Record("contact", Ref("create-contact", "id"))
    if record is None:
        return
    deadline = (view.entry.ended_at or view.entry.started_at) + TODO_SECONDS
    title = view.policy.words.title("todo", view.number)
    view.ledger.add(AddTodo(key="todo", record=record, responsible=end.responsible, title=title, deadline_at=deadline))


def _correct_activity(view: View, end: End, finish: Entry) -> None:
    """A leg that came after finish may show another talker: the activity follows, finish is never repeated."""
    if finish.state != "done" or not finish.answer.get("activity_id"):
        return
    given = [e.command.user_id for e in view.ledger if isinstance(e.command, SetActivityUser)]
    holder = given[-1] if given else finish.command.user_id  # type: ignore[union-attr]
    if holder != end.user:
        view.ledger.add(SetActivityUser(key=f"activity-user-{len(given) + 1}", user_id=end.user))
