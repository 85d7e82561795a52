"""Secrets at rest: the first key encrypts, all decrypt; pages see four characters."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet, MultiFernet

from bx24app.infra import encryption
from bx24app.infra.runtime import runtime


@pytest.mark.usefixtures("app")
def test_rotation() -> None:
    old, new = (Fernet(Fernet.generate_key()) for _ in range(2))
    runtime().cipher = MultiFernet([old])
    token = encryption.encrypt("salt")
    runtime().cipher = MultiFernet([new, old])
    assert encryption.decrypt(token) == "salt"
    runtime().cipher = MultiFernet([new])
    with pytest.raises(encryption.UndecryptableSecret):
        encryption.decrypt(token)


def test_masked() -> None:
    assert encryption.mask_secret("0123456789abcdef") == "••••cdef"
    assert encryption.mask_secret("short") == "••••"
    assert encryption.mask_secret(None) == ""
