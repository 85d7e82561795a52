"""One world for the tests of a file: they take turns in it, each with calls and clients of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import config_for
from tests.world import World, world


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal, working app, a PBX without settings yet."""
    with world(tmp_path_factory.mktemp("world"), valkey_url, config_for, quiet_seconds=2) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"  # the larger budget: many calls in a short time are not the matter here
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations
