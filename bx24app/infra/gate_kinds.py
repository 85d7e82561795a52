"""The kinds of waiting for somebody outside, each with its bounds: the one table for all pages. `gates` enforces it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class GateKind:
    """One kind of waiting.

    `per_party`, `over_all`: threads inside at once, for one party and for all. `seconds`: how long what is asked inside
    may take. `queue_seconds`: how long a thread waits for its turn.
    """

    name: str
    per_party: int
    over_all: int
    seconds: float
    queue_seconds: float = 0.0


TOKEN: Final = GateKind("token", 3, 4, 5.0, 1.0)
"""Openings, tabs, events, authorisations: an authorisation server. The party is the sender's address."""
OPENING: Final = GateKind("opening", 2, 4, 6.0, 1.0)
"""Openings: the portal is asked for the viewer's rights, and set up. The party is the portal, here and below."""
TAB: Final = GateKind("tab", 2, 4, 5.0, 1.0)
"""Tabs in the portal's own pages: what may the viewer read?"""
ACTION: Final = GateKind("action", 2, 4, 7.0)
"""Pages and buttons of the frame that ask the portal."""
PBX: Final = GateKind("pbx", 2, 4, 7.0)
"""Pages and buttons of the frame that ask Mango Office."""
PLAYER: Final = GateKind("player", 2, 4, 7.0, 1.0)
"""Recordings for players."""
EXPORT: Final = GateKind("export", 1, 2, 0.0)
"""Journals as files. They ask nobody, but take a while."""
KINDS: Final = (TOKEN, OPENING, TAB, ACTION, PBX, PLAYER, EXPORT)
MAX_TAKEN: Final = 10
"""Threads of all kinds together, those that wait for a turn included: of the 16 for pages six always remain."""
PAGE_SECONDS: Final = 8.0
"""How long a page may wait for all that it asks."""
