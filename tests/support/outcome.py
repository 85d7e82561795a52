"""A pytest plugin that writes the result of a run to var/tests/outcome.json.

`.ci/run` reads the file and accepts neither skipped nor deselected tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_deselected: set[str] = set()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    _deselected.update(item.nodeid for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Collect the deselected tests of a pytest-xdist worker."""
    _deselected.update(getattr(node, "workeroutput", {}).get("deselected", ()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["deselected"] = sorted(_deselected)
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    stats = reporter.stats
    reasons = {
        kind: {report.nodeid: _reason(report) for report in stats.get(kind, ())}
        for kind in ("skipped", "xfailed", "xpassed")
    }
    outcome = {
        "exit": int(exitstatus),
        "passed": len(stats.get("passed", ())),
        "failed": len(stats.get("failed", ())) + len(stats.get("error", ())),
        **reasons,
        "deselected": sorted(_deselected),
    }
    target = Path(config.rootpath) / "var" / "tests" / "outcome.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(outcome, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _reason(report: Any) -> str:
    where = report.longrepr
    return str(where[2]) if isinstance(where, tuple) else str(getattr(report, "wasxfail", where))
