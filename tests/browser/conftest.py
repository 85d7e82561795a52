"""The demo on free ports and a headless Chromium, for the tests of one file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts import needs
from tests.support.browser_walk import ROOT
from tests.support.servers import free_port

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`bx24app demo` on free ports; its addresses."""
    ports = {name: free_port() for name in ("port", "portal-port", "pbx-port", "oauth-port")}
    arguments = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    environ = {**os.environ, "BX24APP_DATA_DIR": str(tmp_path_factory.mktemp("demo"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "bx24app.cli", "demo", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "bx24app ready on" in line:
            break
    assert "bx24app ready on" in said, said
    try:
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        yield browser
        browser.close()
