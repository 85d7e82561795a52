"""The form of one PBX. The pages of PBXs read the posted fields with it, check them, and check the API keys with
Mango Office before they save.

A check does not raise: it writes a message to each wrong field of the form. Secrets are never shown again.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from flask import g, request
from flask_babel import gettext

from bx24app.domain.dialects import DIALECT_TRAITS, traits_of
from bx24app.domain.mango_keys import clean_key
from bx24app.infra import gates, key_tries, mango_clients
from bx24app.infra.gate_kinds import PBX
from bx24app.mango import dialects
from bx24app.mango.api_types import CredentialCheck
from bx24app.models import db
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document, FormMessage, SaveResult


@dataclass
class PbxForm:
    """The fields as the user typed them.

    `key`: the PBX's name in the settings document; `faults`: field name -> message. `doubts`: what looks odd in the
    keys, before anything is tried; the form repeats `oddity` when the user wants it all the same. `same_as`: key of
    the PBX that has this API key already.
    """

    name: str = ""
    key: str = ""
    dialects: tuple[str, ...] = ("vpbx",)
    api_key: str = ""
    api_salt: str = ""
    default_user_id: int | None = None
    faults: dict[str, str] = field(default_factory=dict)
    own_key: str = ""
    """The connected PBX that the form is about; empty: a new one."""
    doubts: list[str] = field(default_factory=list)
    oddity: str = ""
    same_as: str = ""


def read_form() -> PbxForm:
    """The form that the request posts."""
    posted = request.form
    return PbxForm(
        name=posted.get("name", "").strip(),
        key=posted.get("key", "").strip(),
        dialects=tuple(name for name in DIALECT_TRAITS if name in posted.getlist("dialects")),
        api_key=clean_key(posted.get("api_key", "")),
        api_salt=clean_key(posted.get("api_salt", "")),
        default_user_id=parse_int(posted.get("default_user_id", "")) or None,
    )


def check_required(form: PbxForm, *, stored: bool) -> None:
    """Mark required fields that are empty. `stored`: the PBX has keys already, and empty fields keep them."""
    if not form.name:
        form.faults["name"] = gettext("Enter a name, such as the city of the office.")
    if not form.dialects:
        form.faults["dialects"] = gettext("Choose at least one.")
    keys_required = any(traits.needs_keys for traits in traits_of(form.dialects)) and not stored
    for name in ("api_key", "api_salt"):
        other = form.api_salt if name == "api_key" else form.api_key
        if not getattr(form, name) and (keys_required or other):
            form.faults[name] = gettext("Copy it from Mango Office: the code and the key belong together.")


def check_keys(form: PbxForm) -> CredentialCheck:
    """Check the keys with Mango Office and mark the wrong one; ok at once if no key was typed, or fields are wrong or
    doubtful.

    One request only, and none while another wrong one could count (`infra.key_tries`): Mango Office locks an address
    out for two minutes after two wrong requests.
    """
    if form.faults or form.doubts or not form.api_key:
        return CredentialCheck("ok")
    portal_id = g.portal.id
    db.session.rollback()  # no transaction stays open while Mango Office answers
    wait_seconds = key_tries.acquire(portal_id, form.api_key)
    if wait_seconds:
        return CredentialCheck("wait", wait_seconds=wait_seconds)
    check, pause = CredentialCheck("busy"), 0
    try:
        with gates.pass_gate(PBX):
            check = dialects.check_credentials(form.dialects, mango_clients.build_client(form.api_key, form.api_salt))
    except gates.GateClosed:
        return check
    finally:
        is_wrong = check.state in ("wrong_key", "wrong_salt", "address_refused")
        pause = key_tries.report(portal_id, form.api_key, is_wrong)
    if check.state == "wrong_key":
        form.faults["api_key"] = gettext(
            "Mango Office does not know this code. Copy it again; it is neither the contract number nor the key below."
        )
    elif check.state == "wrong_salt":
        form.faults["api_salt"] = gettext(
            "The code is right, but the key for the signature is wrong. Copy it again."
        )
    return replace(check, wait_seconds=max(check.wait_seconds, pause))


def check_message(check: CredentialCheck) -> FormMessage:
    """The message on top of the form. It has a text if the check failed for a reason that no field explains, and counts
    down until the next check."""
    sentences = {
        "address_refused": gettext(
            "Mango Office rejects requests from this server’s address. "
            "Allow it in the API connector (allowed addresses). After several wrong keys, wait two minutes."
        ),
        "unreachable": gettext("Mango Office cannot be reached from this server. Try again in a minute."),
        "busy": gettext("Mango Office is busy. Try again in a minute."),
        "wait": gettext("Keys are checked one at a time: Mango Office blocks this server after two wrong ones."),
        "refused": gettext("Mango Office rejected the request: %(detail)s", detail=check.detail),
    }
    texts = [sentences[check.state]] if check.state in sentences else []
    return FormMessage("wrong", texts, wait_seconds=check.wait_seconds)


def as_document(form: PbxForm) -> Document:
    """The PBX as the settings document has it. Keys that were left empty are left out."""
    pbx: Document = {
        "key": form.key,
        "name": form.name,
        "dialects": list(form.dialects),
        "default_user_id": form.default_user_id,
    }
    if form.api_key:
        pbx |= {"api_key": form.api_key, "api_salt": form.api_salt}
    return pbx


def assign_faults(form: PbxForm, outcome: SaveResult, index: int) -> None:
    """Write the faults of a refused document to the form's fields; those without a field go on top of the form.

    `index`: the position of this PBX in the document.
    """
    for fault in outcome.faults:
        name = fault.path.removeprefix(f"pbxs[{index}].").partition("[")[0]
        if name in ("name", "key", "dialects", "api_key", "api_salt", "default_user_id"):
            form.faults[name] = fault.message
        elif fault.path:
            outcome.message.texts.append(f"{fault.path}: {fault.message}")


_TRANSLITERATION = str.maketrans(
    dict(zip("абвгдеёзийклмнопрстуфхцыэ", "abvgdeeziyklmnoprstufhcye", strict=True))
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ю": "yu", "я": "ya", "ь": "", "ъ": ""}
)
"""Cyrillic letter -> Latin letters."""


def make_key(name: str, taken: set[str]) -> str:
    """A key for the settings document, made from the name, that is not in `taken`.

    >>> make_key("Щёлково, 2-й офис", set()), make_key("Омск", {"omsk"})
    ('schelkovo-2-y-of', 'omsk-2')
    """
    latin = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATION)).encode("ascii", "ignore").decode()
    key = re.sub(r"[^a-z0-9]+", "-", latin).strip("-")[:16].strip("-") or "pbx"
    candidate, count = key, 2
    while candidate in taken:
        candidate, count = f"{key}-{count}", count + 1
    return candidate
