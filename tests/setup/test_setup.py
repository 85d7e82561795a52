"""What `make setup` installs is fixed, and comes from nowhere in particular: no file names a registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import vendor

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-node.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_every_python_package_is_pinned_by_version_and_hash(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[a-z0-9-]+==\S+( ;.*)? \\\n    --hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.txt", ("sandbox", "build")), ("requirements-dev.txt", ("sandbox", "build", "dev"))],
)
def test_the_locks_hold_what_the_project_names(lock: str, extras: tuple[str, ...]) -> None:
    named = PROJECT["dependencies"] + [one for extra in extras for one in PROJECT["optional-dependencies"][extra]]
    versions = locked(lock)
    for one in map(Requirement, named):
        assert one.specifier.contains(versions[one.name.lower()]), f"{one}: run make lock"


def test_the_two_locks_agree() -> None:
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


def test_front_end_libraries_are_pinned_without_addresses() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "package.json").read_text())
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
    assert all(package["integrity"].startswith("sha512-") for place, package in lock["packages"].items() if place)
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_the_libraries_lie_where_the_pages_look_with_their_licences() -> None:
    assert {path.name for path in vendor.VENDOR.glob("*.js")} == set(vendor.FILES.values())
    licences = {path.name.rpartition("-")[0] for path in (vendor.VENDOR / "licences").iterdir()}
    assert {"@bitrix24-b24jssdk", "htmx.org", "sortablejs", "chart.js", "axios"} <= licences
    ignored = subprocess.run(
        ["git", "check-ignore", "static/vendor/htmx.min.js"], cwd=ROOT, check=False, capture_output=True
    )
    assert ignored.returncode == 0


def test_npm_comes_from_a_python_package_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=f"{tmp_path}\n")

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(subprocess, "run", run)
    command, environment = vendor.npm()
    assert commands[0][-3:] == ["--require-hashes", "-r", str(ROOT / "requirements-node.txt")]
    assert command[0] == str(tmp_path / "bin" / "node")
    assert environment["PATH"].startswith(str(tmp_path / "bin"))


def test_help_lists_every_target_that_a_person_may_want() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # we may run under make

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *words], cwd=ROOT, env=environment, check=False, capture_output=True, text=True)

    names = set(re.findall(r"^  make (\S+)", make("help").stdout, re.MULTILINE))
    assert {"setup", "demo", "test", "lint", "help"} <= names
    for name in names - {"help"}:
        planned = make("-n", name)
        assert planned.returncode == 0, planned.stderr
