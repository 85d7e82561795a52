"""What a portal's licence says about its request budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from bx24app import create_app
from bx24app.portals import clients, install
from tests.conftest import config_for


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ({"LICENSE": "de_ent10000", "LICENSE_TYPE": "ent10000", "LICENSE_FAMILY": "ent"}, 5.0),
        ({"LICENSE": "ru_company", "LICENSE_TYPE": "company", "LICENSE_FAMILY": "ent"}, 5.0),
        ({"LICENSE": "ru_entry", "LICENSE_TYPE": "entry", "LICENSE_FAMILY": "basic"}, 2.0),
        ({"LICENSE": "ru_pro100", "LICENSE_TYPE": "pro100", "LICENSE_FAMILY": "pro"}, 2.0),
        ({"LICENSE": "ru_selfhosted"}, 7.0),
        ({}, 2.0),
    ],
)
def test_the_family_decides_and_a_box_has_none(
    tmp_path: Path, valkey_url: str, answer: dict[str, str], rate: float
) -> None:
    app = create_app(config_for(tmp_path, valkey_url, onpremise_rate=7.0))
    with app.app_context():
        assert clients.member_budget("member", install.licence_of(dict(answer))).rate == rate


def test_a_licence_without_a_family_is_of_an_older_version(tmp_path: Path, valkey_url: str) -> None:
    app = create_app(config_for(tmp_path, valkey_url))
    with app.app_context():
        assert clients.member_budget("member", "ru_ent250").rate == 5.0
        assert clients.member_budget("member", "ru_std").rate == 2.0
