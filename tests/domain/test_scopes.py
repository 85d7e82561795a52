"""Scopes as Bitrix24 writes them: with commas, with spaces, and under the names of its narrower ones."""

from __future__ import annotations

import pytest

from bx24app.domain.scopes import missing_scopes, parse_scopes


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("crm,telephony", {"crm", "telephony"}),
        ("crm telephony  im", {"crm", "telephony", "im"}),  # ONAPPINSTALL
        ("CRM, user_basic", {"crm", "user"}),
        ("user_brief", {"user"}),
        ("crm_settings imbot", {"crm_settings", "imbot"}),  # no part of a name counts as that name
        ("", set()),
    ],
)
def test_commas_and_spaces_part_them(text: str, scopes: set[str]) -> None:
    assert parse_scopes(text) == scopes


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("telephony crm user placement im timeman", ()),
        ("telephony,crm", ("user", "placement", "im", "timeman")),
        ("telephony,crm,user_basic,placement,imbot,timeman", ("im",)),
        ("", ()),  # the portal never named them: nothing is known
    ],
)
def test_what_is_not_granted_is_missing(text: str, missing: tuple[str, ...]) -> None:
    assert missing_scopes(text) == missing
