"""The call card follows the call: on every screen that rings, then only on the one that talks."""

from __future__ import annotations

from bx24app.domain.calls import client_manager
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import HideCard, ShowCard


def users_to_show(view: CallView, end: Outcome) -> list[int]:
    """Users on whose screens the card should be now, first rung first; empty where there is nothing to say (not: hide all)."""
    mode = view.policy.calls.card
    if mode == "never" or view.context.is_quiet or end.is_complete or view.entry.end_event is not None:
        return []
    talking = [talk.employee for talk in view.entry.talks if talk.end is None]
    ringing = [ring.employee for ring in view.entry.rings if ring.is_active and ring.is_for_client] if mode == "ring" else []
    users = [view.policy.find_user(employee) for employee in (talking or ringing)]
    if ringing and not talking:
        users.append(client_manager.find_card_manager(view))
    return list(dict.fromkeys(user for user in users if user is not None))


def update_cards(view: CallView, end: Outcome) -> None:
    """Hide it from those who no longer ring or talk, show it to those who do. While nobody does, it stays where it is; while
    somebody talks who has no user here (a colleague without a mapping, another office), it is on no screen."""
    register = view.ledger.register_entry()
    if register is None or register.state == "dead" or view.ledger.finish_entry() is not None:
        return
    now = users_to_show(view, end)
    if not now and not _is_talk_elsewhere(view, end):
        return
    shown = view.ledger.shown_users()
    gone, new = sorted(shown - set(now)), [user for user in now if user not in shown]
    if gone:
        view.ledger.add_command(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(gone)))
    if new:
        view.ledger.add_command(ShowCard(key=view.ledger.next_key("show", ShowCard), users=tuple(new)))


def _is_talk_elsewhere(view: CallView, end: Outcome) -> bool:
    if end.is_complete or view.entry.end_event is not None:
        return False
    return any(talk.end is None for talk in view.entry.talks)
