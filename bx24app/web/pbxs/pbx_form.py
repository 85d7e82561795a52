"""The form of one PBX: reads it, checks it, and tries the API keys at Mango Office. Used by the pages of PBXs."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from flask import request
from flask_babel import gettext

from bx24app.domain.dialects import DIALECT_TRAITS, traits_of
from bx24app.infra import mango_clients
from bx24app.mango import dialects
from bx24app.mango.api_types import CredentialCheck
from bx24app.models import db
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document, FormMessage, SaveResult


@dataclass
class PbxForm:
    """What the user typed. Secrets are only read, never shown again."""

    name: str = ""
    key: str = ""
    dialects: tuple[str, ...] = ("vpbx",)
    api_key: str = ""
    api_salt: str = ""
    default_user_id: int | None = None
    faults: dict[str, str] = field(default_factory=dict)


def read_form() -> PbxForm:
    raw = request.form
    default = raw.get("default_user_id", "")
    return PbxForm(
        name=raw.get("name", "").strip(),
        key=raw.get("key", "").strip(),
        dialects=tuple(name for name in DIALECT_TRAITS if name in request.form.getlist("dialects")),
        api_key=raw.get("api_key", "").strip(),
        api_salt=raw.get("api_salt", "").strip(),
        default_user_id=parse_int(default) or None,
    )


def check_required(form: PbxForm, *, stored: bool) -> None:
    """Mark the fields that must be filled in. `stored`: there is a key already, so empty fields keep it."""
    if not form.name:
        form.faults["name"] = gettext("Give it a name, such as the city of the office.")
    if not form.dialects:
        form.faults["dialects"] = gettext("Choose at least one.")
    wanted = any(traits.needs_keys for traits in traits_of(form.dialects)) and not stored
    for name in ("api_key", "api_salt"):
        other = form.api_salt if name == "api_key" else form.api_key
        if not getattr(form, name) and (wanted or other):
            form.faults[name] = gettext("Copy it from Mango Office, both belong together.")


def check_keys(form: PbxForm) -> CredentialCheck:
    """Try the keys at Mango Office, once: two wrong requests within two minutes lock the server's address out."""
    if form.faults or not form.api_key:
        return CredentialCheck("ok")
    db.session.rollback()  # no transaction is open while Mango is asked
    check = dialects.check_credentials(form.dialects, mango_clients.build_client(form.api_key, form.api_salt))
    if check.state == "wrong_key":
        form.faults["api_key"] = gettext(
            "Mango Office does not know this code. Copy it again; it is not the number of the contract."
        )
    elif check.state == "wrong_salt":
        form.faults["api_salt"] = gettext(
            "The code is right, but the key for the signature is another one. Copy it again."
        )
    return check


def check_message(check: CredentialCheck) -> FormMessage:
    """The message on top of the form if no single field is wrong."""
    sentences = {
        "address_refused": gettext(
            "Mango Office does not talk to the address of this server. "
            "Allow it in the API connector (block of allowed addresses); after several wrong keys wait two minutes."
        ),
        "unreachable": gettext("Mango Office cannot be reached from this server. Try again in a minute."),
        "busy": gettext("Mango Office is busy. Try again in a minute."),
        "refused": gettext("Mango Office does not accept the request: %(detail)s", detail=check.detail),
    }
    return FormMessage("wrong", [sentences[check.state]] if check.state in sentences else [])


def as_document(form: PbxForm) -> Document:
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
    """Put faults of the document at the form's fields, and the others on top of the form."""
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
"""Cyrillic letters in Latin."""


def make_key(name: str, taken: set[str]) -> str:
    """A free key for the document, made from the name.

    >>> make_key("Щёлково, 2-й офис", set()), make_key("Омск", {"omsk"})
    ('schelkovo-2-y-of', 'omsk-2')
    """
    plain = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATION)).encode("ascii", "ignore").decode()
    key = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:16].strip("-") or "pbx"
    candidate, count = key, 2
    while candidate in taken:
        candidate, count = f"{key}-{count}", count + 1
    return candidate
