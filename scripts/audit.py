"""Looks for known vulnerabilities in our own code (bandit), Python packages (pip-audit) and front-end packages (npm
audit).

Usage: python -m scripts.audit   (`make audit`)

The last two ask an index of advisories. Where it does not answer, the program says so and gives no verdict. It exits
with 1 when it finds a
vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.vendor import npm

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
UNANSWERED = "no verdict: the index of advisories does not answer from here"


def code() -> tuple[bool, str]:
    """Run bandit from medium severity on; ruff's S rules cover the rest."""
    done = _run([str(BIN / "bandit"), "-q", "-ll", "-c", "pyproject.toml", "-r", "bx24app"])
    return done.returncode == 0, "nothing of medium or high severity" if done.returncode == 0 else done.stdout


def python_packages() -> tuple[bool, str]:
    """Audit what the lock file installs, the tests' tools included."""
    lock = "requirements-dev.txt"
    done = _run(
        [
            str(BIN / "pip-audit"),
            "-f",
            "json",
            "--progress-spinner",
            "off",
            "--disable-pip",
            "--require-hashes",
            "-r",
            lock,
        ]
    )
    return judged_python(done.stdout)


def judged_python(text: str) -> tuple[bool, str]:
    """Read pip-audit's JSON. A package that the index did not name was not checked."""
    packages = _json(text).get("dependencies") or []
    audited = [package for package in packages if "skip_reason" not in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}"
        for package in audited
        for hole in package.get("vulns", ())
    ]
    if holes:
        return False, "; ".join(holes)
    if not audited:
        return True, UNANSWERED
    missing = len(packages) - len(audited)
    return True, f"{len(audited)} packages without a known hole" + (f", {missing} not looked at" if missing else "")


def front_end() -> tuple[bool, str]:
    """Audit what package-lock.json installs."""
    command, environment = npm()
    done = subprocess.run(
        [*command, "audit", "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return judged_npm(done.stdout)


def judged_npm(text: str) -> tuple[bool, str]:
    """Read npm's JSON."""
    counts = _json(text).get("metadata", {}).get("vulnerabilities")
    if counts is None:
        return True, UNANSWERED
    return counts["total"] == 0, f"{counts['total']} known holes"


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def main() -> int:
    bad = False
    for name, check in (("code", code), ("Python packages", python_packages), ("front end", front_end)):
        good, words = check()
        bad = bad or not good
        print(f"audit: {name}: {'' if good else 'WRONG: '}{words}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
