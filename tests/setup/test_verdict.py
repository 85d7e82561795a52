"""A run that left something out does not land."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "all passed": ("def test_a(): pass\ndef test_b(): pass\n", "", 0, "ok"),
    "skipped": (
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no moon')\n",
        "",
        1,
        "skipped: test_x.py::test_b (Skipped: no moon)",
    ),
    "xfailed": (
        "import pytest\n@pytest.mark.xfail(reason='later')\ndef test_a(): assert 0\ndef test_b(): pass\n",
        "",
        1,
        "xfailed",
    ),
    "deselected": ("def test_a(): pass\ndef test_b(): pass\n", "-k test_a", 1, "deselected: test_x.py::test_b"),
    "module skipped": ("import pytest\npytest.skip('no sun', allow_module_level=True)\n", "", 1, "skipped: test_x.py"),
    "fewer": ("def test_a(): pass\n", "", 1, "1 tests passed, .ci/passed asks for 2 at least"),
    "failed": ("def test_a(): pass\ndef test_b(): assert 0\n", "", 1, "pytest ended with 1"),
}


RUNS = [*((case, "-n0") for case in CASES), *((case, "-n2") for case in ("skipped", "deselected"))]


@pytest.mark.parametrize(("case", "workers"), RUNS)
def test_verdict(case: str, workers: str, tmp_path: Path) -> None:
    source, options, code, words = CASES[case]
    for name in (".ci/verdict.py", "tests/support/outcome.py", "tests/support/__init__.py", "tests/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".ci/passed").write_text("2")
    (tmp_path / "test_x.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.outcome",
        "-p",
        "no:cacheprovider",
        workers,
        *options.split(),
        "test_x.py",
    ]
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    done = subprocess.run([sys.executable, ".ci/verdict.py"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert words in done.stdout + done.stderr
    assert done.returncode == code
    assert "passed" in json.loads((tmp_path / "var/tests/outcome.json").read_text())
