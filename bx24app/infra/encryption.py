"""Secrets at rest: an encrypted column type, and masking for pages.

The first key encrypts, all keys decrypt (MultiFernet), so keys rotate without a stop: put the new key in front, run
`bx24app keys rotate`, drop the old key. The keys belong to the current application (`Runtime.cipher`).
"""

from __future__ import annotations

from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

from bx24app.infra.runtime import runtime


class UndecryptableSecret(Exception):
    """A stored secret was encrypted with a key that is not in BX24APP_ENCRYPTION_KEYS."""


def encrypt(text: str) -> bytes:
    """Encrypt with the first key."""
    return runtime().cipher.encrypt(text.encode())


def decrypt(token: bytes) -> str:
    """Decrypt with whichever key fits.

    Raises:
        UndecryptableSecret: none of the keys fits.
    """
    try:
        return runtime().cipher.decrypt(token).decode()
    except InvalidToken:
        raise UndecryptableSecret("a stored secret cannot be read with the present BX24APP_ENCRYPTION_KEYS") from None


class EncryptedText(TypeDecorator[str]):
    """A text column that is encrypted in the database and plain in Python."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else encrypt(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else decrypt(bytes(value))


def mask_secret(secret: str | None) -> str:
    """What a page may show of a secret: its last four characters."""
    if not secret:
        return ""
    return "••••" + secret[-4:] if len(secret) > 8 else "••••"
