"""Parses what Bitrix24 and browsers post to the app: openings of the frame, and events.

`portals.frame_auth` and `portals.portal_events` call this. The models only check shapes and bounds: nothing in a post
may be believed before the authorisation server has confirmed it.
"""

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
"""Fields beyond these bounds are ignored."""


class MalformedPost(Exception):
    """The post has not the shape of Bitrix24's. The text names the field."""


def parse_bracket_keys(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """PHP's bracket keys as nested dicts: ``auth[domain]=x`` -> ``{"auth": {"domain": "x"}}``."""
    tree: dict[str, Any] = {}
    for count, (key, value) in enumerate(pairs):
        if count >= MAX_FIELDS:
            break
        match = _BRACKET_KEY.match(key) if len(key) <= MAX_KEY_LENGTH else None
        if match is None:
            continue
        path = [match.group(1), *_KEY_PART.findall(match.group(2))]
        if len(path) > MAX_DEPTH:
            continue
        node = tree
        for piece in path[:-1]:
            child = node.setdefault(piece, {})
            if not isinstance(child, dict):
                child = node[piece] = {}
            node = child
        node[path[-1] or str(len(node))] = value
    return tree


def _parse_lifetime(value: Any) -> int:
    """Seconds that a token is valid; an hour if the value is missing or absurd."""
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        return 3600
    return seconds if 0 < seconds <= 86400 else 3600


def _printable_text(value: Any) -> str:
    """Text without control characters; empty if the value is not text."""
    return "".join(letter for letter in value if letter.isprintable()) if isinstance(value, str) else ""


TokenLifetime = Annotated[int, BeforeValidator(_parse_lifetime)]
PrintableText = Annotated[str, BeforeValidator(_printable_text)]
Token = Annotated[str, BeforeValidator(_printable_text), Field(max_length=1024, repr=False)]


class FramePost(BaseModel):
    """An opening of the app in the portal (official page "widgets", parameters of the handler)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_token: Token = Field(min_length=1)
    refresh_token: Token = ""
    expires_in: TokenLifetime = 3600
    member_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    domain: PrintableText = Field("", max_length=255)
    is_secure: bool = True
    """Was the portal's page opened by https?"""
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
        match = re.match(r"[A-Za-z]{2,5}", str(value))
        return match.group().lower() if match else "ru"

    @field_validator("options", mode="before")
    @classmethod
    def _parse_options(cls, value: Any) -> Any:
        """The post holds a JSON string; PHP writes an empty map as a list."""
        if isinstance(value, str):
            try:
                value = json.loads(value or "{}")
            except (ValueError, RecursionError):
                return {}
        return value if isinstance(value, dict) else {}

    @classmethod
    def from_form(cls, form: Mapping[str, str], query: Mapping[str, str]) -> FramePost:
        """Parse a posted form and the query of its address.

        Raises:
            MalformedPost: a field is missing or wrong.
        """
        raw = {
            "access_token": form.get("AUTH_ID", ""),
            "refresh_token": form.get("REFRESH_ID", ""),
            "expires_in": form.get("AUTH_EXPIRES"),
            "member_id": form.get("member_id", ""),
            "domain": query.get("DOMAIN") or form.get("DOMAIN", ""),
            "is_secure": (query.get("PROTOCOL") or form.get("PROTOCOL") or "1") != "0",
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
    """The `auth` block of an event. Tokens may be missing; only install and update have a refresh token."""

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
    """One event of Bitrix24. `event` is empty if the post names none."""

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
        """Parse the pairs of a posted form.

        Raises:
            MalformedPost: a field is wrong.
        """
        return _validate_post(cls, parse_bracket_keys(pairs))


def _validate_post(model: type[ModelT], raw: dict[str, Any]) -> ModelT:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise MalformedPost(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
