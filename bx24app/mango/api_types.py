"""Mango's answers about a PBX as types. Parsing is lenient: Mango sends numbers as texts and texts as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from bx24app.mango.errors import MangoError
from bx24app.mango.notification import parse_text


@dataclass(frozen=True, slots=True)
class MangoUser:
    """An employee of the PBX. `user_id` is stable, `extension` may pass to another employee; None: the employee has no
    short number."""

    extension: str | None
    name: str
    email: str | None
    mobile: str | None
    user_id: str | None
    numbers: tuple[str, ...]
    """Devices in the order in which they ring: telephones as digits, ``sip:`` addresses."""
    department: str | None


@dataclass(frozen=True, slots=True)
class MangoGroup:
    group_id: str | None
    name: str
    extension: str | None
    operators: tuple[str, ...]
    """Extensions of its operators."""


@dataclass(frozen=True, slots=True)
class MangoLine:
    """A number on which clients call, or a SIP trunk. `region` may be ``sip``, ``sip-uac`` or ``toll-free``; `TRUNK`:
    it is a trunk. `name`: of a SIP line the one by which it is dialled (D26, 3.2.1)."""

    number: str
    name: str
    line_id: str | None
    region: str | None


@dataclass(frozen=True, slots=True)
class MangoBalance:
    amount: Decimal
    currency: str


TRUNK = "trunk"
"""`MangoLine.region` of a SIP trunk; Mango itself gives trunks no region."""


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """Outcome of trying a key and salt. `lines` only with ``ok``; `detail`: a sentence in English for the log.

    ``wait``: nothing was tried, since it may be tried only after `wait_seconds`. `lines_error`: the key is right, but
    Mango did not list the lines.
    """

    state: Literal["ok", "wrong_key", "wrong_salt", "address_refused", "unreachable", "busy", "refused", "wait"]
    lines: tuple[MangoLine, ...] = ()
    detail: str = ""
    wait_seconds: int = 0
    lines_error: MangoError | None = None


def parse_user(raw: Mapping[str, Any]) -> MangoUser:
    general, telephony = _inner_object(raw, "general"), _inner_object(raw, "telephony")
    devices = telephony.get("numbers")
    valid = [device for device in devices if isinstance(device, dict)] if isinstance(devices, list) else []
    valid.sort(key=_ring_order)
    numbers = (_text_field(device, "number_normalized") or _text_field(device, "number") for device in valid)
    return MangoUser(
        extension=_text_field(telephony, "extension"),
        name=_text_field(general, "name") or "",
        email=_text_field(general, "email"),
        mobile=_text_field(general, "mobile"),
        user_id=_text_field(general, "user_id"),
        numbers=tuple(number for number in numbers if number),
        department=_text_field(general, "department"),
    )


def parse_group(raw: Mapping[str, Any]) -> MangoGroup:
    operators = raw.get("operators")
    valid = [part for part in operators if isinstance(part, dict)] if isinstance(operators, list) else []
    return MangoGroup(
        group_id=_text_field(raw, "id") or _text_field(raw, "group_id"),
        name=_text_field(raw, "name") or "",
        extension=_text_field(raw, "extension"),
        operators=tuple(extension for part in valid if (extension := _text_field(part, "extension"))),
    )


def parse_line(raw: Mapping[str, Any]) -> MangoLine | None:
    """The line; None if it has no number."""
    number = _text_field(raw, "number")
    if number is None:
        return None
    region = _text_field(raw, "region")
    is_sip = region is not None and region.startswith("sip")
    name = _text_field(raw, "name") or (None if is_sip else _text_field(raw, "comment")) or ""
    return MangoLine(number, name, _text_field(raw, "line_id"), region)


def parse_trunk(raw: Mapping[str, Any]) -> MangoLine | None:
    """The number of a SIP trunk as a line; None if it has no number."""
    number = _text_field(raw, "number")
    if number is None:
        return None
    return MangoLine(number, _text_field(raw, "desc") or "", _text_field(raw, "trunk_number_id"), TRUNK)


def parse_balance(raw: Mapping[str, Any]) -> MangoBalance:
    """A balance that cannot be read counts as 0."""
    try:
        amount = Decimal(_text_field(raw, "balance") or "0")
    except InvalidOperation:
        amount = Decimal(0)
    return MangoBalance(amount, _text_field(raw, "currency") or "RUB")


def only_dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; of anything else none."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _inner_object(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _ring_order(device: Mapping[str, Any]) -> int:
    order = str(device.get("order", ""))
    return int(order) if order.isdecimal() else 0


def _text_field(raw: Mapping[str, Any], name: str) -> str | None:
    try:
        return parse_text(raw.get(name))
    except ValueError:
        return None  # an odd field of an employee must not hide all others
