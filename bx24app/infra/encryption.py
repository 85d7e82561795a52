"""Secrets at rest: an encrypted column type, key rotation, masking.

The first key encrypts, all keys decrypt (MultiFernet), so keys rotate without a stop: put the new one in front, run
`bx24app keys rotate`, drop the old one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

_cipher: MultiFernet | None = None


class UndecryptableSecret(Exception):
    """A stored secret was sealed with a key that is not in BX24APP_ENCRYPTION_KEYS."""


def use_keys(keys: Iterable[str]) -> None:
    """Set the process's keys; called once by `create_app`."""
    global _cipher
    _cipher = MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> bytes:
    """Encrypt with the first key."""
    if _cipher is None:
        raise RuntimeError("sealed.use_keys has not been called: make the app with create_app")
    return _cipher.encrypt(text.encode())


def decrypt(token: bytes) -> str:
    """Decrypt with whichever key fits.

    Raises:
        Unreadable: none of the keys fits.
    """
    if _cipher is None:
        raise RuntimeError("sealed.use_keys has not been called: make the app with create_app")
    try:
        return _cipher.decrypt(token).decode()
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
