"""Our placements in the portal's pages, and the commands that bind or unbind them.

Installation and the daily sync run the commands (official page "widgets", placement.bind).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24 import errors
from bx24app.bitrix24.client import RestResult
from bx24app.infra.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PortalPlacement:
    """The path below the app's address, and the title on the tab or in the menu."""

    path: str
    russian_title: str
    english_title: str


PLACEMENTS = {
    "CALL_CARD": PortalPlacement("/place/call", "Звонки клиента", "Client's calls"),
    "CRM_LEAD_DETAIL_TAB": PortalPlacement("/place/lead", "Звонки Mango Office", "Mango Office calls"),
    "CRM_DEAL_DETAIL_TAB": PortalPlacement("/place/deal", "Звонки Mango Office", "Mango Office calls"),
    "CRM_CONTACT_DETAIL_TAB": PortalPlacement("/place/contact", "Звонки Mango Office", "Mango Office calls"),
    "CRM_COMPANY_DETAIL_TAB": PortalPlacement("/place/company", "Звонки Mango Office", "Mango Office calls"),
    "TELEPHONY_ANALYTICS_MENU": PortalPlacement(
        "/place/telephony", "Mango Office: статистика", "Mango Office: statistics"
    ),
}
"""Bitrix24's placement code -> our placement."""
BatchCommand = tuple[str, str, dict[str, Any]]


def binding_commands(placed: RestResult | errors.PortalError | None, public_url: str, most: int) -> list[BatchCommand]:
    """Commands that bind missing placements, and unbind those that lead to an address that is no longer ours.

    A portal that does not allow placements still gets its calls.

    Args:
        placed: the answer to `placement.get`.
        most: how many commands there may be.
    """
    if not isinstance(placed, RestResult):
        if isinstance(placed, errors.PortalError):
            _log.warning("placements not available", reason=str(placed))
        return []
    rows = [row for row in placed.result or [] if isinstance(row, dict)]
    pairs = {(str(row.get("placement", "")).upper(), str(row.get("handler") or "")) for row in rows}
    wanted = {(code, public_url + placement.path): placement for code, placement in PLACEMENTS.items()}
    commands: list[BatchCommand] = [
        (f"p{index}", "placement.bind", _bind_params(code, handler, placement))
        for index, ((code, handler), placement) in enumerate(wanted.items())
        if (code, handler) not in pairs
    ]
    outdated = sorted(pair for pair in pairs if pair not in wanted)
    commands += [
        (f"q{index}", "placement.unbind", {"PLACEMENT": code, "HANDLER": handler})
        for index, (code, handler) in enumerate(outdated)
    ]
    return commands[:most]


def _bind_params(code: str, handler: str, placement: PortalPlacement) -> dict[str, Any]:
    titles = {"ru": {"TITLE": placement.russian_title}, "en": {"TITLE": placement.english_title}}
    return {"PLACEMENT": code, "HANDLER": handler, "TITLE": placement.english_title, "LANG_ALL": titles}
