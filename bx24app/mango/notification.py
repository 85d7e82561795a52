"""What all dialects have in common: the identity of a notification, its two errors, and lenient scalars for the
schemas. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from bx24app.domain.bounds import MAX_EPOCH, MAX_TALK_SECONDS, is_whole

MAX_ID = 512
"""Mango promises ids of at most 128 bytes. Four times that still fits into an index of any database."""

MAX_DEPTH = 32
"""Mango nests three levels. A hostile body must not drive the parser to its own limit."""

_NESTING_TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[\[\]{}]', re.DOTALL)

_MIN_MILLISECONDS = 100_000_000_000


class ForgedNotification(Exception):
    """The notification was not signed with this PBX's key and salt. The message is a sentence without secrets."""


class MalformedNotification(Exception):
    """The notification has the wrong shape. The message is a sentence that names the path of the field."""


@dataclass(frozen=True, slots=True)
class NotificationIdentity:
    """What the inbox stores of a notification beside its text.

    `dedup_key` is the same for the same content in another spelling: order of keys, escapes, 1 or "1", empty or absent.
    """

    name: str
    entry_id: str | None
    command_id: str | None
    dedup_key: str
    alias: str | None = None
    """The `uuid` of the events dialect if it differs from `entry_id`: other notifications of the call may have only the
    uuid."""


def read_object(raw: str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        MalformedNotification: not JSON, or JSON that is not an object, or nested deeper than `MAX_DEPTH`.
    """
    if is_too_deep(raw):
        raise MalformedNotification("The notification is nested too deep.")
    try:
        # NaN and Infinity are not JSON, and would make every later comparison false.
        value = json.loads(raw, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedNotification(f"The notification is not JSON: {_error_summary(error)}.") from None
    if not isinstance(value, dict):
        raise MalformedNotification(f"The notification is {_type_name(value)}, not an object.")
    return value


def is_too_deep(raw: str, most: int = MAX_DEPTH) -> bool:
    """Whether this text is nested deeper than `most`, by its brackets outside of strings. Asked before the text is
    parsed."""
    if raw.count("{") + raw.count("[") <= most:
        return False  # it does not even have that many brackets
    depth = 0
    for match in _NESTING_TOKEN.finditer(raw):
        sign = match.group()
        if sign in "[{":
            depth += 1
            if depth > most:
                return True
        elif sign in "]}":
            depth -= 1
    return False


def make_dedup_key(name: str, content: dict[str, Any]) -> str:
    """SHA-256 in hex of the name and of the content in one canonical spelling.

    Raises:
        MalformedNotification: nested too deep.
    """
    try:
        text = json.dumps(_canonical_form(content), sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise MalformedNotification(f"The notification is {_error_summary(error)}.") from None
    return hashlib.sha256(f"{name}\n{text}".encode(errors="surrogatepass")).hexdigest()


def _canonical_form(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: _canonical_form(part) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_canonical_form(part) for part in value]
    if isinstance(value, bool) or value is None:
        return value
    return str(value)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _error_summary(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]


def _type_name(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a flag", type(None): "null"}
    return names.get(type(value), "a number")


# Lenient scalars. Documentation, its examples and live traffic of Mango disagree on types: an extension is 101 or
# "101", a missing value is absent, null or "". Every field passes through one of these.


def parse_text(value: Any) -> str | None:
    """A stripped text or None; numbers become texts. Raises ValueError otherwise, which pydantic reports."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"is {_type_name(value) if not isinstance(value, dict) else 'an object'}, wanted a text")
    text = str(value).strip()
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise ValueError("holds characters that no database can keep")
    return text or None


def _parse_id(value: Any) -> str | None:
    text = parse_text(value)
    if text is not None and len(text) > MAX_ID:
        raise ValueError(f"is longer than {MAX_ID} characters")
    return text


def parse_int(value: Any) -> int | None:
    """A whole number that a column can hold, or None. Raises ValueError otherwise, which pydantic reports."""
    number = _parse_any_int(value)
    if number is not None and not is_whole(number):
        raise ValueError("is too large")
    return number


def _parse_any_int(value: Any) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("is not a whole number")
    try:
        number = int(value.strip()) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        raise ValueError("is not a whole number") from None
    if (isinstance(value, float) and number != value) or abs(number) >= 2**63:
        raise ValueError("is not a whole number")
    return number


def parse_epoch(value: Any) -> int | None:
    """Unix seconds or None, milliseconds cut; 0 stands for a time that there is not. Raises ValueError otherwise."""
    number = _parse_any_int(value)
    if number is None:
        return None
    if number >= _MIN_MILLISECONDS:
        number //= 1000  # some of Mango's notifications count milliseconds
    if not 0 <= number <= MAX_EPOCH:
        raise ValueError("is not a time in Unix seconds before 2100")
    return number


def parse_talk(value: Any) -> int | None:
    """Seconds of a talk or None. Raises ValueError otherwise, and if they are more than a day."""
    seconds = parse_int(value)
    if seconds is not None and seconds > MAX_TALK_SECONDS:
        raise ValueError("is longer than a day")
    return seconds


def _parse_flag(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in {"1", "true", "yes", "y"}
    return value is True or value == 1


def _parse_object(value: Any) -> Any:
    # PHP writes an empty object as []
    return {} if value is None or value in ([], "") else value


Text = Annotated[str | None, BeforeValidator(parse_text)]
"""A text or None; numbers become texts, empty becomes None."""
Id = Annotated[str | None, BeforeValidator(_parse_id)]
RequiredId = Annotated[str, BeforeValidator(_parse_id)]
LenientInt = Annotated[int | None, BeforeValidator(parse_int)]
EpochSeconds = Annotated[int | None, BeforeValidator(parse_epoch)]
TalkSeconds = Annotated[int | None, BeforeValidator(parse_talk)]
RequiredEpochSeconds = Annotated[int, BeforeValidator(parse_epoch)]
Flag = Annotated[bool, BeforeValidator(_parse_flag)]
AsObject = BeforeValidator(_parse_object)


class MangoSchema(BaseModel):
    """Base of the schemas. Unknown fields are ignored, since Mango adds some every year."""

    model_config = ConfigDict(extra="ignore", frozen=True)


SchemaT = TypeVar("SchemaT", bound=MangoSchema)


def validate_schema(shape: type[SchemaT], content: dict[str, Any]) -> SchemaT:
    """`content` as `shape`.

    Raises:
        MalformedNotification: names the path of the first wrong field.
    """
    try:
        return shape.model_validate(content)
    except ValidationError as error:
        raise MalformedNotification(_describe_error(error)) from None


def _describe_error(error: ValidationError) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"]) or "the notification"
    value = first.get("input")
    if first["type"] == "missing" or value in (None, ""):
        return f"{path} is missing."
    return f"{path} {first['msg'].removeprefix('Value error, ')}."
