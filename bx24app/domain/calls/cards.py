"""The call card follows the call: on every screen that rings, then only on the one that talks."""

from __future__ import annotations

from bx24app.domain.calls import client_manager
from bx24app.domain.calls.call_view import End, View
from bx24app.domain.calls.commands import HideCard, ShowCard


def wanted(view: View, end: End) -> list[int]:
    """Users on whose screens the card should be now, first rung first; empty where there is nothing to say (not: hide all)."""
    mode = view.policy.calls.card
    if mode == "never" or view.known.quiet or end.complete or view.entry.ended is not None:
        return []
    talking = [talk.employee for talk in view.entry.talks if talk.end is None]
    ringing = [ring.employee for ring in view.entry.rings if ring.active and ring.for_client] if mode == "ring" else []
    users = [view.policy.user_of(employee) for employee in (talking or ringing)]
    if ringing and not talking:
        users.append(client_manager.card_user(view))
    return list(dict.fromkeys(user for user in users if user is not None))


def follow(view: View, end: End) -> None:
    """Hide it from those who no longer ring or talk, show it to those who do. While nobody does, it stays where it is; while
    somebody talks who has no user here (a colleague without a mapping, another office), it is on no screen."""
    register = view.ledger.register()
    if register is None or register.state == "dead" or view.ledger.finish() is not None:
        return
    now = wanted(view, end)
    if not now and not _talks_elsewhere(view, end):
        return
    shown = view.ledger.shown()
    gone, new = sorted(shown - set(now)), [user for user in now if user not in shown]
    if gone:
        view.ledger.add(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(gone)))
    if new:
        view.ledger.add(ShowCard(key=view.ledger.next_key("show", ShowCard), users=tuple(new)))


def _talks_elsewhere(view: View, end: End) -> bool:
    if end.complete or view.entry.ended is not None:
        return False
    return any(talk.end is None for talk in view.entry.talks)
