"""How much one request to the portal may hold, and which commands travel together. Pure.

The portal ends a request after 60 s (official page "limits"), and a batch is one request: so a batch is full by the
seconds that its commands are expected to take, long before that, and by their number. What a person waits for travels
in a request without slow work of other calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bx24app.domain.calls.commands import (
    AnyCommand,
    HideCard,
    ReadClient,
    ReadDay,
    ReadDeals,
    ReadOpen,
    ReadTodo,
    Register,
    ShowCard,
)

MAX_COMMANDS = 50
"""Commands in one batch (Bitrix24's limit)."""
MAX_SECONDS = 25.0
"""Expected work of one batch: a portal may be more than twice as slow as expected before it cuts the request."""
_CARD_KINDS = frozenset(kind.__name__ for kind in (Register, ShowCard, HideCard))
_BESIDE_CARDS = (Register, ShowCard, HideCard, ReadClient, ReadDeals, ReadOpen, ReadDay, ReadTodo)


@dataclass(slots=True)
class BatchRoom:
    """What a batch has taken so far."""

    commands: int = 0
    seconds: float = 0.0

    def take(self, seconds: Sequence[float]) -> bool:
        """Take commands that are expected to last so long, all or none. An empty batch takes any one command."""
        fits = self.seconds + sum(seconds) <= MAX_SECONDS or (not self.commands and len(seconds) == 1)
        if not fits or self.commands + len(seconds) > MAX_COMMANDS:
            return False
        self.commands += len(seconds)
        self.seconds += sum(seconds)
        return True


def fills_batch(seconds: Iterable[float]) -> bool:
    """Are these commands enough for a batch that waits for no others?"""
    room = BatchRoom()
    return not all(room.take([one]) for one in seconds) or room.commands == MAX_COMMANDS


def is_live_card(kinds: Sequence[str]) -> bool:
    """Is somebody's screen waiting for the first of these open commands of one call?

    The register of a call that is over is no card; hiding a card is one, however late it comes.
    """
    if kinds[0] not in _CARD_KINDS:
        return False
    return kinds[0] != Register.__name__ or "Finish" not in kinds


def may_join_cards(command: AnyCommand) -> bool:
    """May a command travel with cards of other calls? It is a card itself, or a quick question behind one."""
    return isinstance(command, _BESIDE_CARDS)
