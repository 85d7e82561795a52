"""The sandbox's Mango for tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.sandbox.mango import MangoCloud
from tests.support.mango_cloud import served


@pytest.fixture
def cloud() -> Iterator[MangoCloud]:
    """A cloud without limits of its own."""
    with served() as running:
        running.cloud.limits.is_enabled = False
        yield running.cloud
