"""Checks that the whole suite ran. Reads var/tests/outcome.json, which tests/support/outcome.py writes.

Exits with 1 and a line for each reason when a test was skipped, xfailed, xpassed or deselected, or when fewer tests
passed than .ci/passed
demands. After adding tests, raise that number, so that none gets lost.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def reasons(outcome: dict[str, Any], least: int) -> list[str]:
    """Return why this run does not count; empty when it does."""
    problems = [
        f"{kind}: {name} ({why})" for kind in ("skipped", "xfailed", "xpassed") for name, why in outcome[kind].items()
    ]
    problems += [f"deselected: {name}" for name in outcome["deselected"]]
    if outcome["exit"] != 0:
        problems.append(f"pytest ended with {outcome['exit']}")
    if outcome["passed"] < least:
        problems.append(f"{outcome['passed']} tests passed, .ci/passed asks for {least} at least")
    return problems


def main() -> int:
    report = ROOT / "var" / "tests" / "outcome.json"
    if not report.exists():
        print("ci: the test run left no var/tests/outcome.json", file=sys.stderr)
        return 1
    outcome = json.loads(report.read_text(encoding="utf-8"))
    least = int((ROOT / ".ci" / "passed").read_text())
    problems = reasons(outcome, least)
    for reason in problems:
        print(f"ci: {reason}", file=sys.stderr)
    print(f"ci: {outcome['passed']} passed, at least {least} were asked for: {'FAILED' if problems else 'ok'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
