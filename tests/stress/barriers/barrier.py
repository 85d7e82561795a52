"""One barrier, and the copy of the repository in which it is taken away."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("bx24app", "docs", "migrations", "scripts", "static", "templates", "tests", "translations")
FILES = ("app.py", "babel.cfg", "pyproject.toml", "README.md", "CHANGELOG.md")
LIBRARIES = (
    "aiohttp.web", "alembic", "cryptography.fernet", "flask", "flask_babel", "phonenumbers", "pydantic", "pytest",
    "redis", "requests_oauthlib", "rq", "sqlalchemy.orm", "structlog", "yaml",
)  # fmt: skip
"""Imported once; each run of pytest is a fork that has them already."""
TESTS_FAILED = 1
"""What pytest ends with where a test failed. Anything else (an import that breaks, no test found) proves nothing."""
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Barrier:
    """One replacement in one file. `finding`: what it stands for; `file`: below bx24app; `tests`: what must fail
    without the barrier."""

    finding: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def import_libraries() -> None:
    """To be called once, before the first fork."""
    for library in LIBRARIES:
        importlib.import_module(library)


class BarrierRun:
    """Takes barriers away in `folder`, one at a time; tests that several barriers share run once with all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._with_all: dict[tuple[str, ...], bool] = {}
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(ROOT / name, folder)

    def judge(self, barrier: Barrier) -> str:
        """caught, SURVIVED, `does not apply`, or that its tests fail anyway."""
        original, file = ROOT / "bx24app" / barrier.file, self._folder / "bx24app" / barrier.file
        source = original.read_text()
        if source.count(barrier.old) != 1:
            return f"does not apply: found {source.count(barrier.old)} times"
        if not self._pass_with_all(barrier.tests):
            return "its tests fail with the barrier too"
        file.write_text(source.replace(barrier.old, barrier.new))
        try:
            status, output = self._run_pytest(barrier.tests)
        finally:
            shutil.copy2(original, file)  # with its old time, so that no compiled file of the other text counts as its
        if status != TESTS_FAILED:
            return f"SURVIVED (pytest ended with {status})"
        lines = output.splitlines()
        return "caught: " + next((line[7:] for line in lines if line.startswith("FAILED ")), "a test that cannot begin")

    def _pass_with_all(self, tests: tuple[str, ...]) -> bool:
        if tests not in self._with_all:
            self._with_all[tests] = self._run_pytest(tests)[0] == 0
        return self._with_all[tests]

    def _run_pytest(self, tests: tuple[str, ...]) -> tuple[int, str]:
        """What pytest ends with, and what it writes."""
        output = self._folder / "pytest.txt"
        child = os.fork()
        if not child:
            _become_pytest(self._folder, output, tests)
        until = time.monotonic() + TIMEOUT_SECONDS
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), output.read_text(errors="replace")
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return -signal.SIGKILL, ""
            time.sleep(0.05)


def _become_pytest(folder: Path, output: Path, tests: tuple[str, ...]) -> None:
    """Run pytest in this process, in the copy, and end."""
    status = -1
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        import pytest

        status = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
    finally:
        sys.stdout.flush()
        os._exit(status & 0xFF)
