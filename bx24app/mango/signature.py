"""Mango's signature of a text, in both directions: SHA-256 of key, text and salt in a row, lower-case hex. It is no
HMAC."""

from __future__ import annotations

import hashlib
import hmac

from bx24app.mango.notification import ForgedNotification


def sign_text(api_key: str, api_salt: str, text: str) -> str:
    """The signature of a text."""
    return hashlib.sha256(f"{api_key}{text}{api_salt}".encode(errors="surrogatepass")).hexdigest()


def verify_signature(
    api_key: str | None, api_salt: str | None, form_key: str | None, form_sign: str | None, text: str
) -> None:
    """Return if the PBX with this key and salt signed the text. The raw text counts: JSON that was parsed and written
    again has another hash.

    Raises:
        ForgedNotification: the key is another one, or the signature does not fit.
    """
    if not api_key or not api_salt:
        raise ForgedNotification("This PBX has no key and salt yet, so nothing can be verified.")
    if not _is_same_text(api_key, form_key or ""):
        raise ForgedNotification("The key is not the one of this PBX.")
    if not _is_same_text(sign_text(api_key, api_salt, text), (form_sign or "").lower()):
        raise ForgedNotification("The signature does not fit the key and salt of this PBX.")


def _is_same_text(text: str, other: str) -> bool:
    # compare_digest takes only ASCII as text
    return hmac.compare_digest(text.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))
