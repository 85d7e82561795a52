"""`make barriers`: take barriers against attacks away, one at a time; the test that `docs/security.md` names must fail.

For findings whose test was written after its barrier. Each entry is one replacement in one file of a copy of the
repository. One that survives, or that no longer applies, ends with 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("bx24app", "docs", "migrations", "scripts", "static", "templates", "tests", "translations")
FILES = ("app.py", "babel.cfg", "pyproject.toml", "README.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Barrier:
    """`finding`: its number in docs/security.md; `file`: below bx24app; `tests`: what must fail without the barrier."""

    finding: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BARRIERS = [
    Barrier(
        "10", "bitrix24/answer_size.py", "if count_pieces(content) > bounds.max_pieces:", "if False:",
        ("tests/bitrix24/test_answer_size.py",),
    ),
    Barrier(
        "14", "calls/leases/release.py", "lost_requests.free_requests_of(session, name)", "{}",
        ("tests/calls/leases/test_dead_workers.py",),
    ),
    Barrier(
        "14", "calls/leases/release.py", "attempts.free_recordings_of(name)", "[]",
        ("tests/calls/leases/test_dead_workers.py",),
    ),
    Barrier("16", "cli/main.py", "os.umask(0o077)", "os.umask(0o022)", ("tests/cli/test_main.py",)),
    Barrier(
        "19", "infra/redis_client.py", "_WEB_SECONDS = 1.0", "_WEB_SECONDS = 20.0",
        ("tests/web/webhooks/test_waits.py",),
    ),
    Barrier(
        "21", "web/base/headers.py", "    if _HOST_PATTERN.match(domain):",
        "    from bx24app.models import Portal, db\n"
        "    if _HOST_PATTERN.match(domain) and db.session.query(Portal).filter_by(domain=domain).count():",
        ("tests/security/test_matrix_tabs.py",),
    ),
    Barrier(
        "22", "domain/document/parse.py", "too_large = find_size_faults(data, present)",
        "too_large = find_size_faults({}, {})", ("tests/domain/document/test_sizes.py",),
    ),
    Barrier(
        "23c", "cli/portals.py", "hide_input=True", "hide_input=False", ("tests/cli/test_typed_secret.py",)
    ),
    Barrier(
        "23c", "cli/portals.py", "if client_secret is not None:", "if False:", ("tests/cli/test_main.py",)
    ),
    Barrier(
        "23f", "web/monitoring/health.py", "database == queue == disk ==", "database == queue ==",
        ("tests/web/monitoring/test_health.py",),
    ),
    Barrier(
        "23g", "web/webhooks/admission.py", 'if not is_plain_encoding(head.header("content-encoding")):', "if False:",
        ("tests/web/webhooks/test_admission.py",),
    ),
    Barrier(
        "23h", "portals/lifecycle.py", 'queue.enqueue_background("purge_portal", portal_id)', "purge(portal_id)",
        ("tests/portals/test_uninstall.py",),
    ),
    Barrier(
        "23i", "calls/inbox/writer.py", "BUSY_MILLISECONDS = 1200", "BUSY_MILLISECONDS = 6000",
        ("tests/web/webhooks/test_waits.py",),
    ),
    Barrier(
        "23i", "models/base.py", "_WEB_BUSY_MILLISECONDS = 3000", "_WEB_BUSY_MILLISECONDS = 15000",
        ("tests/web/webhooks/test_waits.py",),
    ),
    Barrier(
        "23j", "infra/key_tries.py", "if max(waits) <= 0 and client", "if client",
        ("tests/web/pbxs", "tests/calls/reconciliation"),
    ),
]  # fmt: skip


def run(barrier: Barrier) -> str:
    """caught, SURVIVED, or `does not apply`."""
    with tempfile.TemporaryDirectory(prefix="barrier-") as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy)
        file = copy / "bx24app" / barrier.file
        source = file.read_text()
        if source.count(barrier.old) != 1:
            return "does not apply"
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *barrier.tests]
        if _run_pytest(command, copy).returncode != 0:
            return "its tests fail with the barrier too"
        file.write_text(source.replace(barrier.old, barrier.new))
        done = _run_pytest(command, copy)
        # 1: a test failed. Anything else (an import that breaks, no test found) proves nothing.
        if done.returncode != 1:
            return f"SURVIVED (pytest ended with {done.returncode})"
        return "caught: " + next(line for line in done.stdout.splitlines() if line.startswith("FAILED "))[7:]


def _run_pytest(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


def main(words: list[str]) -> int:
    """`words`: only these findings."""
    asked = [barrier for barrier in BARRIERS if not words or barrier.finding in words]
    verdicts = []
    for barrier in asked:
        verdicts.append(run(barrier))
        print(f"{barrier.finding:<4} {barrier.file:<28} {verdicts[-1]}", flush=True)
    caught = sum(verdict.startswith("caught") for verdict in verdicts)
    print(f"{caught} of {len(asked)} missing barriers caught")
    return 0 if caught == len(asked) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
