"""Places of ours in the portal's pages: which there are, and what has to be bound or unbound (official page "widgets", placement.bind)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24 import errors
from bx24app.bitrix24.client import RestResult
from bx24app.infra.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PortalPlacement:
    """`path`: below the app's address. Titles as people read them on the tab or in the menu."""

    path: str
    russian_title: str
    english_title: str


PLACEMENTS = {
    "CALL_CARD": PortalPlacement("/place/call", "Звонки клиента", "Client's calls"),
    "CRM_LEAD_DETAIL_TAB": PortalPlacement("/place/lead", "Звонки Mango Office", "Mango Office calls"),
    "CRM_DEAL_DETAIL_TAB": PortalPlacement("/place/deal", "Звонки Mango Office", "Mango Office calls"),
    "CRM_CONTACT_DETAIL_TAB": PortalPlacement("/place/contact", "Звонки Mango Office", "Mango Office calls"),
    "CRM_COMPANY_DETAIL_TAB": PortalPlacement("/place/company", "Звонки Mango Office", "Mango Office calls"),
    "TELEPHONY_ANALYTICS_MENU": PortalPlacement("/place/telephony", "Mango Office: статистика", "Mango Office: statistics"),
}
"""Code -> what stands there."""
BatchCommand = tuple[str, str, dict[str, Any]]


def binding_commands(placed: RestResult | errors.PortalError | None, public_url: str, most: int) -> list[BatchCommand]:
    """What to bind, and what to unbind because it leads to an address that is no longer ours; at most so many.

    `placed`: the answer of placement.get. A portal that does not let us place anything still gets its calls.
    """
    if not isinstance(placed, RestResult):
        if isinstance(placed, errors.PortalError):
            _log.warning("tabs cannot be placed", reason=str(placed))
        return []
    rows = [row for row in placed.result or [] if isinstance(row, dict)]
    pairs = {(str(row.get("placement", "")).upper(), str(row.get("handler") or "")) for row in rows}
    wanted = {(code, public_url + place.path): place for code, place in PLACEMENTS.items()}
    found: list[BatchCommand] = [
        (f"p{index}", "placement.bind", _bind_params(code, handler, place))
        for index, ((code, handler), place) in enumerate(wanted.items())
        if (code, handler) not in pairs
    ]
    strange = sorted(pair for pair in pairs if pair not in wanted)
    found += [
        (f"q{index}", "placement.unbind", {"PLACEMENT": code, "HANDLER": handler})
        for index, (code, handler) in enumerate(strange)
    ]
    return found[:most]


def _bind_params(code: str, handler: str, place: PortalPlacement) -> dict[str, Any]:
    titles = {"ru": {"TITLE": place.russian_title}, "en": {"TITLE": place.english_title}}
    return {"PLACEMENT": code, "HANDLER": handler, "TITLE": place.english_title, "LANG_ALL": titles}
