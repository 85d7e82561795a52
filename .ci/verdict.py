"""Was the whole suite run? Reads what tests/support/outcome.py wrote.

Exit 1, with a line for each reason, when a test was skipped, xfailed, xpassed or deselected, or when fewer passed than .ci/passed says.
After adding tests, raise that number: it is what keeps tests from getting lost.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def reasons(outcome: dict[str, Any], least: int) -> list[str]:
    """Why this run does not count; empty when it does."""
    found = [
        f"{kind}: {name} ({why})" for kind in ("skipped", "xfailed", "xpassed") for name, why in outcome[kind].items()
    ]
    found += [f"deselected: {name}" for name in outcome["deselected"]]
    if outcome["exit"] != 0:
        found.append(f"pytest ended with {outcome['exit']}")
    if outcome["passed"] < least:
        found.append(f"{outcome['passed']} tests passed, .ci/passed asks for {least} at least")
    return found


def main() -> int:
    report = ROOT / "var" / "tests" / "outcome.json"
    if not report.exists():
        print("ci: the test run left no var/tests/outcome.json", file=sys.stderr)
        return 1
    outcome = json.loads(report.read_text(encoding="utf-8"))
    least = int((ROOT / ".ci" / "passed").read_text())
    found = reasons(outcome, least)
    for reason in found:
        print(f"ci: {reason}", file=sys.stderr)
    print(f"ci: {outcome['passed']} passed, at least {least} were asked for: {'FAILED' if found else 'ok'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
