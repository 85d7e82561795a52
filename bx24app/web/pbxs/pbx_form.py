"""The form of one PBX: what was typed, what is missing, what Mango says of the keys."""

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
    """What the page of one PBX holds while it is edited. Secrets only on their way in."""

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
    """Note what is missing. `stored`: there is a key already, so empty fields keep it."""
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
    """Ask Mango once, if there is something to ask with; two wrong requests within two minutes lock an address out."""
    if form.faults or not form.api_key:
        return CredentialCheck("ok")
    db.session.rollback()  # no transaction is held while Mango is asked
    met = dialects.check_credentials(form.dialects, mango_clients.build_client(form.api_key, form.api_salt))
    if met.state == "wrong_key":
        form.faults["api_key"] = gettext(
            "Mango Office does not know this code. Copy it again; it is not the number of the contract."
        )
    elif met.state == "wrong_salt":
        form.faults["api_salt"] = gettext(
            "The code is right, but the key for the signature is another one. Copy it again."
        )
    return met


def check_message(met: CredentialCheck) -> FormMessage:
    """What stands on top of the form where no single field is at fault."""
    sentences = {
        "address_refused": gettext(
            "Mango Office does not talk to the address of this server. Allow it in the API connector (block of allowed addresses); "
            "after several wrong keys wait two minutes."
        ),
        "unreachable": gettext("Mango Office cannot be reached from this server. Try again in a minute."),
        "busy": gettext("Mango Office is busy. Try again in a minute."),
        "refused": gettext("Mango Office does not accept the request: %(detail)s", detail=met.detail),
    }
    return FormMessage("wrong", [sentences[met.state]] if met.state in sentences else [])


def as_document(form: PbxForm) -> Document:
    found: Document = {
        "key": form.key,
        "name": form.name,
        "dialects": list(form.dialects),
        "default_user_id": form.default_user_id,
    }
    if form.api_key:
        found |= {"api_key": form.api_key, "api_salt": form.api_salt}
    return found


def assign_faults(form: PbxForm, outcome: SaveResult, index: int) -> None:
    """Faults of the document to the fields that they belong to; the others to the top."""
    for fault in outcome.faults:
        name = fault.path.removeprefix(f"pbxs[{index}].").partition("[")[0]
        if name in ("name", "key", "dialects", "api_key", "api_salt", "default_user_id"):
            form.faults[name] = fault.message
        elif fault.path:
            outcome.message.texts.append(f"{fault.path}: {fault.message}")


_TRANSLITERATION = str.maketrans(
    dict(
        zip(
            "абвгдеёзийклмнопрстуфхцыэ",
            [
                "a",
                "b",
                "v",
                "g",
                "d",
                "e",
                "e",
                "z",
                "i",
                "y",
                "k",
                "l",
                "m",
                "n",
                "o",
                "p",
                "r",
                "s",
                "t",
                "u",
                "f",
                "h",
                "c",
                "y",
                "e",
            ],
            strict=True,
        )
    )
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ю": "yu", "я": "ya", "ь": "", "ъ": ""}
)


def make_key(name: str, taken: set[str]) -> str:
    """A short name for the document, made of the name."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATION)).encode("ascii", "ignore").decode()
    key = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:16].strip("-") or "pbx"
    candidate, count = key, 2
    while candidate in taken:
        candidate, count = f"{key}-{count}", count + 1
    return candidate
