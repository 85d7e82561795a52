"""Secrets at rest: the first key encrypts, all decrypt; pages see four characters."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from bx24app.infra import encryption


def test_rotation() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    encryption.use_keys([old])
    token = encryption.seal("salt")
    encryption.use_keys([new, old])
    assert encryption.unseal(token) == "salt"
    encryption.use_keys([new])
    with pytest.raises(encryption.Unreadable):
        encryption.unseal(token)


def test_masked() -> None:
    assert encryption.masked("0123456789abcdef") == "••••cdef"
    assert encryption.masked("short") == "••••"
    assert encryption.masked(None) == ""
