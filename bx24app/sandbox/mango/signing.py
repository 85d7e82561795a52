"""How requests and notifications of the VPBX API are written and signed.

The rule is the same in both directions: the hex SHA-256 of key, text and salt, concatenated. The signature covers the
exact text of the field `json`. So the text is made once, signed, and sent unchanged.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def sign_text(api_key: str, text: str, api_salt: str) -> str:
    """The signature of a form: 64 lower-case hex digits."""
    return hashlib.sha256(f"{api_key}{text}{api_salt}".encode()).hexdigest()


def sign_link(api_key: str, timestamp: str, recording_id: str, api_salt: str) -> str:
    """The signature in a GET link to a recording. `timestamp` is the end of its validity in epoch seconds."""
    return hashlib.sha256(f"{api_key}{timestamp}{recording_id}{api_salt}".encode()).hexdigest()


def compact_json(body: Any) -> str:
    """JSON without spaces and with letters unescaped, as the newer notifications are written."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def php_json(body: Any) -> str:
    r"""JSON as PHP's json_encode writes it by default: `/` as `\/`, everything beyond ASCII as `\uXXXX`."""
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/")


JSON_STYLES = {"compact": compact_json, "php": php_json}


def build_form(api_key: str, api_salt: str, text: str) -> dict[str, str]:
    """The three fields of a signed form."""
    return {"vpbx_api_key": api_key, "sign": sign_text(api_key, text, api_salt), "json": text}
