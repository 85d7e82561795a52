"""Secrets at rest: the first key encrypts, all decrypt; pages see four characters."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from bx24app.infra import encryption


def test_rotation() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    encryption.use_keys([old])
    token = encryption.encrypt("salt")
    encryption.use_keys([new, old])
    assert encryption.decrypt(token) == "salt"
    encryption.use_keys([new])
    with pytest.raises(encryption.UndecryptableSecret):
        encryption.decrypt(token)


def test_masked() -> None:
    assert encryption.mask_secret("0123456789abcdef") == "••••cdef"
    assert encryption.mask_secret("short") == "••••"
    assert encryption.mask_secret(None) == ""
