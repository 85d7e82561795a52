"""A sandbox per test; a violation of the official parameter tables fails the test that caused it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.sandbox.checks import checked_sandbox
from bx24app.sandbox.server import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One portal and an OAuth server on loopback."""
    with checked_sandbox() as running:
        yield running
