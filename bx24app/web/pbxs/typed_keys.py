"""What can be said of typed keys before Mango Office is asked: they cannot be right, another PBX has them, or they look
odd. The pages of PBXs call it."""

from __future__ import annotations

from typing import Any

from flask import g, request
from flask_babel import gettext, lazy_gettext, ngettext

from bx24app.domain import mango_keys
from bx24app.settings import api_keys
from bx24app.web.base import rendering
from bx24app.web.pbxs.pbx_form import PbxForm

_SENTENCES: dict[str, Any] = {
    "not_latin": lazy_gettext("It has only Latin letters and digits. Copy it again from Mango Office."),
    "only_digits": lazy_gettext("These are only digits, as in a contract number. Copy it from the API connector."),
    "same_text": lazy_gettext("This is the code once more. In Mango Office, the key is below the code."),
    "swapped": lazy_gettext("The code and the key for the signature are swapped."),
}


def check_typed(form: PbxForm) -> None:
    """Mark what is certainly wrong, and note what is only odd, unless the user was warned of it already."""
    if not form.api_key or not form.api_salt:
        return
    pairs = api_keys.load_pairs(g.portal.id)
    for fault in mango_keys.find_key_faults(form.api_key, form.api_salt, pairs.values()):
        form.faults.setdefault(fault.field, str(_SENTENCES[fault.code]))
    mark_same_pbx(form, pairs)
    form.oddity = _oddity(form)
    if form.oddity and not form.faults and request.form.get("anyway") != form.oddity:
        form.doubts = _doubts(form)


def mark_same_pbx(form: PbxForm, pairs: dict[str, tuple[str, str]] | None = None) -> None:
    """Mark the key if another PBX of the portal has it; the form then has a link to that one."""
    pairs = api_keys.load_pairs(g.portal.id) if pairs is None else pairs
    owner = next((name for name, (key, _) in pairs.items() if key == form.api_key and name != form.own_key), None)
    if owner is None:
        return
    pbx = rendering.load_settings().by_key.get(owner)
    form.same_as = owner
    form.faults["api_key"] = gettext("This PBX is already connected as “%(pbx)s”.", pbx=pbx.name if pbx else owner)


def _oddity(form: PbxForm) -> str:
    """What is odd, as the form sends it back; empty: nothing."""
    odd = [len(value) for value in (form.api_key, form.api_salt) if mango_keys.has_unusual_length(value)]
    return f"{len(form.api_key)}-{len(form.api_salt)}" if odd else ""


def _doubts(form: PbxForm) -> list[str]:
    texts = []
    if mango_keys.has_unusual_length(form.api_key):
        texts.append(
            ngettext(
                "The code has %(num)d character; usually it has 32.",
                "The code has %(num)d characters; usually it has 32.",
                len(form.api_key),
            )
        )
    if mango_keys.has_unusual_length(form.api_salt):
        texts.append(
            ngettext(
                "The key for the signature has %(num)d character; usually it has 32.",
                "The key for the signature has %(num)d characters; usually it has 32.",
                len(form.api_salt),
            )
        )
    return texts
