"""Secrets at rest: the first key encrypts, all decrypt; pages see four characters."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from bx24app import sealed


def test_rotation() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed.use_keys([old])
    token = sealed.seal("salt")
    sealed.use_keys([new, old])
    assert sealed.unseal(token) == "salt"
    sealed.use_keys([new])
    with pytest.raises(sealed.Unreadable):
        sealed.unseal(token)


def test_masked() -> None:
    assert sealed.masked("0123456789abcdef") == "••••cdef"
    assert sealed.masked("short") == "••••"
    assert sealed.masked(None) == ""
