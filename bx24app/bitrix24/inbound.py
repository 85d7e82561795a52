"""What Bitrix24 posts to us: openings of a frame, events. Nothing in it is believed before the auth server confirmed it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

_BRACKET_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_KEY_PART = re.compile(r"\[([^\[\]]*)\]")
ModelT = TypeVar("ModelT", bound=BaseModel)
MAX_FIELDS, MAX_DEPTH, MAX_KEY_LENGTH = 2000, 8, 500
"""Of what is more, deeper, or longer, nothing is read."""


class MalformedPost(Exception):
    """The post has not the shape of Bitrix24's; the text names the field."""


def parse_bracket_keys(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """PHP's bracket keys as nested dicts: ``auth[domain]=x`` -> ``{"auth": {"domain": "x"}}``."""
    tree: dict[str, Any] = {}
    for count, (key, value) in enumerate(pairs):
        if count >= MAX_FIELDS:
            break
        found = _BRACKET_KEY.match(key) if len(key) <= MAX_KEY_LENGTH else None
        if found is None:
            continue
        path = [found.group(1), *_KEY_PART.findall(found.group(2))]
        if len(path) > MAX_DEPTH:
            continue
        place = tree
        for piece in path[:-1]:
            below = place.setdefault(piece, {})
            if not isinstance(below, dict):
                below = place[piece] = {}
            place = below
        place[path[-1] or str(len(place))] = value
    return tree


def _parse_lifetime(value: Any) -> int:
    """How long a token is good: an hour where nothing sensible is said."""
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        return 3600
    return seconds if 0 < seconds <= 86400 else 3600


def _printable_text(value: Any) -> str:
    """Text without control characters; anything but text says nothing."""
    return "".join(letter for letter in value if letter.isprintable()) if isinstance(value, str) else ""


TokenLifetime = Annotated[int, BeforeValidator(_parse_lifetime)]
PrintableText = Annotated[str, BeforeValidator(_printable_text)]
Token = Annotated[str, BeforeValidator(_printable_text), Field(max_length=1024, repr=False)]


class FramePost(BaseModel):
    """An opening of the app's page in the portal (official page "widgets", parameters of the handler)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_token: Token = Field(min_length=1)
    refresh_token: Token = ""
    expires_in: TokenLifetime = 3600
    member_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    domain: PrintableText = Field("", max_length=255)
    lang: str = Field("ru", pattern=r"^[a-z]{2,5}$")
    app_sid: PrintableText = Field("", max_length=64)
    server_endpoint: PrintableText = Field("", max_length=255)
    application_token: Token = ""
    scope: PrintableText = Field("", max_length=1024)
    placement: PrintableText = Field("DEFAULT", max_length=64)
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("lang", mode="before")
    @classmethod
    def _parse_lang(cls, value: Any) -> str:
        found = re.match(r"[A-Za-z]{2,5}", str(value))
        return found.group().lower() if found else "ru"

    @field_validator("options", mode="before")
    @classmethod
    def _parse_options(cls, value: Any) -> Any:
        """A JSON *string* in the post; a list stands for an empty map."""
        if isinstance(value, str):
            try:
                value = json.loads(value or "{}")
            except (ValueError, RecursionError):
                return {}
        return value if isinstance(value, dict) else {}

    @classmethod
    def from_form(cls, form: Mapping[str, str], query: Mapping[str, str]) -> FramePost:
        """From a form and its query.

        Raises:
            Unreadable
        """
        raw = {
            "access_token": form.get("AUTH_ID", ""),
            "refresh_token": form.get("REFRESH_ID", ""),
            "expires_in": form.get("AUTH_EXPIRES"),
            "member_id": form.get("member_id", ""),
            "domain": query.get("DOMAIN") or form.get("DOMAIN", ""),
            "lang": query.get("LANG") or form.get("LANG") or "ru",
            "app_sid": query.get("APP_SID") or form.get("APP_SID", ""),
            "server_endpoint": form.get("SERVER_ENDPOINT", ""),
            "application_token": form.get("APPLICATION_TOKEN", ""),
            "scope": form.get("APPLICATION_SCOPE", ""),
            "placement": form.get("PLACEMENT") or "DEFAULT",
            "options": form.get("PLACEMENT_OPTIONS", ""),
        }
        return _validate_post(cls, raw)


class EventAuth(BaseModel):
    """The `auth` block of an event. Tokens may be missing altogether; only install and update bring a refresh token."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_token: Token = ""
    refresh_token: Token = ""
    expires_in: TokenLifetime = 3600
    member_id: PrintableText = Field("", max_length=255)
    domain: PrintableText = Field("", max_length=255)
    server_endpoint: PrintableText = Field("", max_length=255)
    application_token: Token = ""
    scope: PrintableText = Field("", max_length=1024)


class EventPost(BaseModel):
    """One event of Bitrix24. `event` is empty where the post names none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: PrintableText = Field("", max_length=64)
    data: dict[str, Any] = Field(default_factory=dict)
    auth: EventAuth = Field(default_factory=lambda: EventAuth.model_validate({}))
    ts: PrintableText = Field("", max_length=32)

    @field_validator("event")
    @classmethod
    def _uppercase_event(cls, value: str) -> str:
        return value.upper()

    @field_validator("data", "auth", mode="before")
    @classmethod
    def _require_map(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {}

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> EventPost:
        """From the pairs of a form.

        Raises:
            Unreadable
        """
        return _validate_post(cls, parse_bracket_keys(pairs))


def _validate_post(model: type[ModelT], raw: dict[str, Any]) -> ModelT:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise MalformedPost(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
