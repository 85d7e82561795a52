"""Provides what the tests need beyond Python: Chromium, a PostgreSQL server, nginx and Caddy.

Usage: python scripts/needs.py   (`make test` calls it first)

As root on Debian or Ubuntu it installs what is missing. Otherwise it installs nothing: the tests that need it are
skipped by name, each with
the one command that would enable it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

POSTGRES = Path("/usr/lib/postgresql")


def chromium() -> str | None:
    """Return the path of a Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def postgres() -> str | None:
    """Return the folder with initdb and postgres, the newest version where there are several."""
    folders = sorted(POSTGRES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    if folders:
        return str(folders[0].parent)
    initdb = shutil.which("initdb")
    return str(Path(initdb).resolve().parent) if initdb else None


def proxy(name: str) -> str | None:
    """Return the path of a proxy's program (`nginx`, `caddy`), None where there is none."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def missing() -> list[str]:
    """Return the Debian packages that would provide what is missing."""
    wanted = {
        "chromium": chromium(),
        "postgresql": postgres(),
        "nginx-light": proxy("nginx"),
        "caddy": proxy("caddy"),
    }
    return [package for package, path in wanted.items() if not path]


def main() -> int:
    packages = missing()
    if not packages:
        return 0
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"needs: tests that need {' and '.join(packages)} will be skipped; to enable them: sudo {command}")
        return 0
    print(f"needs: {command}", flush=True)
    # RUNLEVEL keeps the package from starting a server: the tests start their own, each with its own data.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-q"], env=environment, check=False, stdout=subprocess.DEVNULL)
    return subprocess.run([*command.split()[:2], "-q", *command.split()[2:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
