"""Places of ours in the portal's pages: which there are, and what has to be bound or unbound (official page "widgets", placement.bind)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24 import errors
from bx24app.bitrix24.client import Answer
from bx24app.infra.logs import log

_log = log(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """`path`: below the app's address. Titles as people read them on the tab or in the menu."""

    path: str
    russian: str
    english: str


PLACES = {
    "CALL_CARD": Place("/place/call", "Звонки клиента", "Client's calls"),
    "CRM_LEAD_DETAIL_TAB": Place("/place/lead", "Звонки Mango Office", "Mango Office calls"),
    "CRM_DEAL_DETAIL_TAB": Place("/place/deal", "Звонки Mango Office", "Mango Office calls"),
    "CRM_CONTACT_DETAIL_TAB": Place("/place/contact", "Звонки Mango Office", "Mango Office calls"),
    "CRM_COMPANY_DETAIL_TAB": Place("/place/company", "Звонки Mango Office", "Mango Office calls"),
    "TELEPHONY_ANALYTICS_MENU": Place("/place/telephony", "Mango Office: статистика", "Mango Office: statistics"),
}
"""Code -> what stands there."""
Command = tuple[str, str, dict[str, Any]]


def commands(placed: Answer | errors.PortalError | None, public_url: str, most: int) -> list[Command]:
    """What to bind, and what to unbind because it leads to an address that is no longer ours; at most so many.

    `placed`: the answer of placement.get. A portal that does not let us place anything still gets its calls.
    """
    if not isinstance(placed, Answer):
        if isinstance(placed, errors.PortalError):
            _log.warning("tabs cannot be placed", reason=str(placed))
        return []
    rows = [row for row in placed.result or [] if isinstance(row, dict)]
    pairs = {(str(row.get("placement", "")).upper(), str(row.get("handler") or "")) for row in rows}
    wanted = {(code, public_url + place.path): place for code, place in PLACES.items()}
    found: list[Command] = [
        (f"p{index}", "placement.bind", _bound(code, handler, place))
        for index, ((code, handler), place) in enumerate(wanted.items())
        if (code, handler) not in pairs
    ]
    strange = sorted(pair for pair in pairs if pair not in wanted)
    found += [
        (f"q{index}", "placement.unbind", {"PLACEMENT": code, "HANDLER": handler})
        for index, (code, handler) in enumerate(strange)
    ]
    return found[:most]


def _bound(code: str, handler: str, place: Place) -> dict[str, Any]:
    titles = {"ru": {"TITLE": place.russian}, "en": {"TITLE": place.english}}
    return {"PLACEMENT": code, "HANDLER": handler, "TITLE": place.english, "LANG_ALL": titles}
