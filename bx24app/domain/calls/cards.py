"""The card: it is shown to everybody whose phone rings for the client, then to the talker alone."""

from __future__ import annotations

from bx24app.domain.calls import client_manager
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import HideCard, ShowCard


def users_to_show(view: CallView, end: Outcome) -> list[int]:
    """Users on whose screens the card belongs now, in the order in which their phones rang.

    An empty list means that nobody rings or talks. It does not mean that the card must be hidden.
    """
    mode = view.policy.calls.card
    if mode == "never" or view.context.is_quiet or end.is_complete or view.entry.end_event is not None:
        return []
    talking = [talk.employee for talk in view.entry.talks if talk.end is None]
    active = [ring.employee for ring in view.entry.rings if ring.is_active and ring.is_for_client]
    ringing = active if mode == "ring" else []
    users = [view.policy.find_user(employee) for employee in (talking or ringing)]
    if ringing and not talking:
        users.append(client_manager.find_card_manager(view))
    return list(dict.fromkeys(user for user in users if user is not None))


def update_cards(view: CallView, end: Outcome) -> None:
    """Hide the card from users who no longer ring or talk, and show it to those who do.

    While nobody rings or talks, the card stays where it is. While somebody without a user talks (a colleague without a
    row in the mapping, another office), the card is on no screen.
    """
    register, finish = view.ledger.register_entry(), view.ledger.finish_entry()
    if register is None or register.state == "dead":
        return
    if finish is not None:
        if finish.state == "dead":
            _hide_everywhere(view)
        return
    users = users_to_show(view, end)
    if not users and not _is_talk_elsewhere(view, end):
        return
    shown = view.ledger.shown_users()
    hidden, new = sorted(shown - set(users)), [user for user in users if user not in shown]
    if hidden:
        view.ledger.add_command(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(hidden)))
    if new:
        view.ledger.add_command(ShowCard(key=view.ledger.next_key("show", ShowCard), users=tuple(new)))


def _hide_everywhere(view: CallView) -> None:
    """The portal refused to finish the call, so nothing else closes its card."""
    users = sorted(view.ledger.shown_users())
    if users:
        view.ledger.add_command(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(users)))


def _is_talk_elsewhere(view: CallView, end: Outcome) -> bool:
    if end.is_complete or view.entry.end_event is not None:
        return False
    return any(talk.end is None for talk in view.entry.talks)
