"""Scopes: which parts of Bitrix24 an administrator allowed the app, and what does not work without one.

A local application is made by hand and each scope is ticked by hand, so any of them may be missing.
"""

from __future__ import annotations

import re

NEEDED_SCOPES = ("telephony", "crm", "user", "placement", "im", "timeman")
"""What the app uses, the most important first. `user_basic` and `user_brief` serve as `user`."""
_STAND_INS = {"user_basic": "user", "user_brief": "user"}


def parse_scopes(text: str) -> frozenset[str]:
    """Bitrix24 writes the list with commas (app.info, openings) or with spaces (ONAPPINSTALL).

    >>> sorted(parse_scopes("telephony crm,user_basic"))
    ['crm', 'telephony', 'user']
    """
    return frozenset(_STAND_INS.get(scope, scope) for scope in re.split(r"[\s,]+", text.strip().lower()) if scope)


def missing_scopes(text: str) -> tuple[str, ...]:
    """Scopes of `NEEDED_SCOPES` that are not granted; none if the portal never named its scopes."""
    granted = parse_scopes(text)
    return tuple(scope for scope in NEEDED_SCOPES if granted and scope not in granted)
