"""Secrets at rest: an encrypted column type, and masking for pages.

The first key encrypts, all keys decrypt (MultiFernet), so keys rotate without a stop: put the new key in front, run
`bx24app keys rotate`, drop the old key. The keys belong to the current application (`Runtime.cipher`).

A row whose secret no key decrypts can still be loaded, shown and deleted: only the use of that secret raises.
"""

from __future__ import annotations

from typing import Any, NoReturn

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


class UndecryptableValue:
    """Stands in a loaded row for a secret that no key decrypts. Whatever uses it as a text raises."""

    def _refuse(self, *_: object) -> NoReturn:
        raise UndecryptableSecret("a stored secret cannot be read with the present BX24APP_ENCRYPTION_KEYS")

    __bool__ = __str__ = __len__ = __iter__ = __contains__ = __getitem__ = __add__ = __radd__ = __format__ = _refuse
    __eq__ = __ne__ = __hash__ = _refuse

    def __repr__(self) -> str:
        return "<a secret that no key decrypts>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python and SQLAlchemy ask of any object
            raise AttributeError(name)
        self._refuse()


class EncryptedText(TypeDecorator[str]):
    """A text column that is encrypted in the database and plain in Python."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else encrypt(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        try:
            return decrypt(bytes(value))
        except UndecryptableSecret:
            return UndecryptableValue()  # type: ignore[return-value]

    def compare_values(self, x: Any, y: Any) -> bool:
        """SQLAlchemy asks whether a row's secret was changed; one that cannot be read equals only itself."""
        return x is y or (isinstance(x, str) and isinstance(y, str) and x == y)


def is_undecryptable(secret: object) -> bool:
    """Is this the value of a secret column that no key decrypts?"""
    return isinstance(secret, UndecryptableValue)


def mask_secret(secret: str | None) -> str:
    """What a page may show of a secret: its last four characters."""
    if is_undecryptable(secret):
        return "••••"
    if not secret:
        return ""
    return "••••" + secret[-4:] if len(secret) > 8 else "••••"
