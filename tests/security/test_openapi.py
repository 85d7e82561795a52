"""docs/openapi.yaml describes what there is: every route with its methods, its parameters and its guard, and nothing
else.
"""

from __future__ import annotations

from typing import Any

import yaml
from flask import Flask

from bx24app.web import ROUTE_TABLE
from bx24app.web.base.guards import open_to_all
from scripts import openapi
from tests.web.conftest import site

__all__ = ["site"]


def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(openapi.PATH.read_text("utf-8"))
    return found


def test_the_file_is_what_the_routes_give(site: Flask) -> None:
    assert described() == yaml.safe_load(openapi.text(site)), "python -m scripts.openapi writes it anew"


def test_every_route_is_in_it(site: Flask) -> None:
    paths = described()["paths"]
    guards = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    methods = 0
    for rule in site.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = paths[openapi.path_of(rule)][method.lower()]
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == set(rule.arguments)
            is_open = guards.get(rule.endpoint.partition(".")[0], open_to_all) is open_to_all
            assert ("security" in operation) != is_open, rule
            assert operation["summary"]
            assert "500" not in operation["responses"]
            methods += 1
    assert methods == sum(len(item) for item in paths.values())


def test_what_this_script_knows_belongs_to_routes(site: Flask) -> None:
    endpoints = {rule.endpoint for rule in site.url_map.iter_rules()}
    endpoints |= {name.partition(".")[0] for name in endpoints}
    for table in (openapi.QUERIES, openapi.FORMS, openapi.MORE):
        assert set(table) <= endpoints
