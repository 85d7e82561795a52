"""Why a PBX that was just connected has no lines, in words."""

from __future__ import annotations

from flask import g
from flask_babel import gettext

from bx24app.mango.api_types import CredentialCheck
from bx24app.mango.errors import NotPermitted


def explain_missing_lines(check: CredentialCheck, owners: list[str]) -> str:
    """The reason why no line was taken from the answer of Mango. `owners`: the PBXs that have its lines already."""
    if check.lines:
        text = gettext("All its lines already belong to %(pbxs)s.", pbxs=", ".join(owners))
    elif isinstance(check.lines_error, NotPermitted):
        text = gettext("“PBX services” is turned off in the API connector, so Mango Office does not list all lines.")
    elif check.lines_error is not None:
        why = check.lines_error.describe(g.frame.lang)
        text = gettext("The lines could not be loaded from Mango Office: %(why)s", why=why)
    else:
        text = gettext(
            "Mango Office lists neither numbers nor SIP trunks for this PBX. Is it the right one of your PBXs?"
        )
    return str(text)
