"""A wheel built from the tree is a whole installation: it starts in a clean environment, in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bx24app import __version__

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the app runs on POSIX systems")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network: hatchling is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that has bx24app from the wheel, and its dependencies from this environment.
    """
    home = tmp_path_factory.mktemp("installation") / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    command = [*PIP, "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    question = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(question, check=True, capture_output=True, text=True).stdout.strip())
    # The interpreter reads no .pth files of a folder named so: the checkout, installed there as editable, stays out of
    # sight.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


@pytest.fixture
def environ() -> dict[str, str]:
    """Nothing of this process's surroundings that leads to the checkout or configures the app."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("BX24APP_", "PYTHON", "VIRTUAL_ENV"))
    }


def test_the_wheel_carries_everything_that_is_not_code(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (
        ("templates", "**/*.html"),
        ("migrations", "**/*.py"),
        ("translations", "**/*.mo"),
        ("static", "**/*.*"),
    ):
        files = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).glob(pattern)
            if "__pycache__" not in path.parts
        }
        assert files, folder
        assert {f"bx24app/_data/{name}" for name in files} <= names
    vendored = {path.name for path in (ROOT / "static" / "vendor").glob("*.js")}
    assert {f"bx24app/_data/static/vendor/{name}" for name in vendored} <= names
    assert not [
        name
        for name in names
        if "__pycache__" in name or name.startswith(("tests/", "scripts/", "benchmarks/", "var/"))
    ]


def test_the_package_comes_from_the_wheel(installed: Path, environ: dict[str, str], tmp_path: Path) -> None:
    command = [str(installed / "python"), "-c", "import bx24app; print(bx24app.__file__)"]
    answer = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    assert Path(answer.stdout.strip()).is_relative_to(installed.parent)


def test_it_tells_its_version(installed: Path, environ: dict[str, str], tmp_path: Path, wheel: Path) -> None:
    command = [str(installed / "bx24app"), "--version"]
    answer = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    assert answer.stdout == f"bx24app {__version__}\n"
    assert wheel.name.startswith(f"bx24app-{__version__}-")


@pytest.fixture
def address(installed: Path, environ: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """`bx24app up` in an empty directory, once it is ready."""
    command = [str(installed / "bx24app"), "up", "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    try:
        for line in process.stdout:
            log.append(line)
            if ready := re.search(r"bx24app ready on (http://\S+)", line):
                yield ready.group(1)
                break
        else:
            pytest.fail(f"it never became ready:\n{''.join(log)}")
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        process.stdout.close()


def test_it_starts_and_serves(address: str, tmp_path: Path) -> None:
    page = requests.get(f"{address}/", headers={"Accept-Language": "ru"}, timeout=20)
    assert page.status_code == 200
    assert re.search("[А-Яа-я]{3}", page.text), "the translations are there"
    assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text)
    assert assets, page.text
    for name in assets:
        asset = requests.get(address + name, timeout=20)
        assert asset.status_code == 200
        assert asset.content
    assert requests.get(f"{address}/readyz", timeout=20).status_code == 200, "the migrations have run"
    assert (tmp_path / "var" / "bx24app.sqlite").exists()
