"""A box (`ru_selfhosted`) runs without the cloud's request budget, in the whole program."""

from __future__ import annotations

from pathlib import Path

import pytest

from bx24app.bitrix24.errors import NotSent
from bx24app.models import Portal, db
from bx24app.portals import clients
from tests.conftest import config_for
from tests.end_to_end.test_rules import MISSED, office, ring
from tests.support.stack import World, world

REQUESTS = 60
"""More than a cloud portal takes at once (50)."""


def _ask_often(made: World) -> None:
    with made.app.app_context():
        portal_id = db.session.scalars(db.select(Portal.id)).one()
        db.session.rollback()
        client = clients.client_by_id(portal_id)
        for _ in range(REQUESTS):
            client.call("profile")


@pytest.mark.parametrize("licence", ["ru_selfhosted", "en_selfhosted"])
def test_a_box_has_no_budget(tmp_path: Path, valkey_url: str, licence: str) -> None:
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2) as made:
        made.portal.license, made.portal.limits.rate = licence, 0
        made.work()
        made.install()
        _ask_often(made)
        ring(made, office(made), MISSED)


def test_a_cloud_portal_has_one(tmp_path: Path, valkey_url: str) -> None:
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2) as made:
        made.portal.limits.rate = 0
        made.work()
        made.install()
        with pytest.raises(NotSent):
            _ask_often(made)
