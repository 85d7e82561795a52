"""Scripts and styles: kept for ever by their hash, compressed, small; nothing else of the disk."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.web.base import assets

ROOT = Path(__file__).resolve().parents[3]
OWN = (
    "css/app.css",
    "js/app.js",
    "js/requests.js",
    "js/forms.js",
    "js/players.js",
    "js/session.js",
    "js/tell.js",
    "js/frame.js",
)


def address(site: Flask, name: str) -> str:
    with site.test_request_context():
        return assets.asset_url(name)


@pytest.mark.parametrize(
    "name", [*OWN, "js/install.js", "js/fit.js", "img/icon.svg", "vendor/htmx.min.js", "vendor/b24jssdk.min.js"]
)
def test_each_is_there_and_kept(site: Flask, client: FlaskClient, name: str) -> None:
    said = client.get(address(site, name), headers={"Accept-Encoding": "gzip"})
    assert said.status_code == 200
    assert "immutable" in said.headers["Cache-Control"]
    assert said.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(said.data) == (ROOT / "static" / name).read_bytes()
    assert client.get(address(site, name)).data == (ROOT / "static" / name).read_bytes()
    assert (
        said.mimetype == {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
    )


def test_a_page_loads_at_most_150_kb_beside_the_sdk(site: Flask, client: FlaskClient) -> None:
    names = (*OWN, "vendor/htmx.min.js")
    sizes = [len(client.get(address(site, name), headers={"Accept-Encoding": "gzip"}).data) for name in names]
    assert sum(sizes) <= 150 * 1024


@pytest.mark.parametrize("path", ["../bx24app/config.py", "%2e%2e/pyproject.toml", "js", "nothing.js", "/etc/passwd"])
def test_nothing_else_is_given_out(client: FlaskClient, path: str) -> None:
    assert client.get(f"/assets/0/{path}").status_code in (404, 308)


def test_what_modules_import_exists() -> None:
    for path in (ROOT / "static" / "js").glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"|import "\./([^"]+)"', path.read_text()):
            assert (path.parent / (name[0] or name[1])).is_file()
