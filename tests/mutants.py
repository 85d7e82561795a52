"""`make mutants`: break the fold on purpose, one way at a time; every break must fail the tests of the domain.

Each mutant is one replacement in one file of a copy of the package. A mutant that survives, or that no longer applies, ends with 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["tests/mango/test_scenarios.py", "tests/domain/test_call.py", "tests/domain/test_handover.py"]


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant(
        "a call without a summary is finished at once",
        "ends.py",
        "clock.heard + view.policy.quiet_seconds",
        "clock.heard",
    ),
    Mutant(
        "a step that is still missing is not waited for", "ends.py", " or any(leg.has_gap for leg in entry.legs)", ""
    ),
    Mutant(
        "an unmapped extension loses its call",
        "ends.py",
        "user = (talkers[-1] if talkers else named_talker(view)) or policy.default_user",
        "user = talkers[-1]",
    ),
    Mutant("cards are never hidden", "cards.py", "    if gone:\n", "    if False:\n"),
    Mutant("the card is shown to nobody else", "cards.py", "    if new:\n", "    if False:\n"),
    Mutant(
        "the card stays with those who ring while one talks", "cards.py", "(talking or ringing)", "(talking + ringing)"
    ),
    Mutant(
        "finish is sent again",
        "ends.py",
        "if not end.complete or view.ledger.finish() is not None or",
        "if not end.complete or",
    ),
    Mutant(
        "finish leaves on the first summary, open legs or not",
        "ends.py",
        "        if _consistent(view):\n",
        "        if True:\n",
    ),
    Mutant(
        "missed is said of an answered call",
        "ends.py",
        'outcome = "answered" if answered else',
        'outcome = "answered" if False else',
    ),
    Mutant("one unanswered leg makes the call missed", "legs.py", "return self.ended.talk_at or None", "return None"),
    Mutant("a missed call is 603", "ends.py", 'status = "304" if', 'status = "603" if'),
    Mutant(
        "the first talker is the talker", "ends.py", "user = (talkers[-1] if talkers", "user = (talkers[0] if talkers"
    ),
    Mutant(
        "a transfer gives the client to nobody",
        "ends.py",
        "if transferred_to is not None and mode",
        "if False and mode",
    ),
    Mutant("the line's responsible is not asked", "ends.py", "elif line_user is not None:", "elif False:"),
    Mutant(
        "talk is counted from the first ring",
        "legs.py",
        "self.ended.ended_at - self.talk_at)",
        "self.ended.ended_at - self.started_at)",
    ),
    Mutant(
        "a consultation counts as a talk with the client",
        "legs.py",
        "if who is not None and with_client:",
        "if who is not None:",
    ),
    Mutant(
        "the callback's first leg counts as a talk",
        "legs.py",
        'if leg.is_callback_start and direction != "internal":',
        "if False:",
    ),
    Mutant(
        "steps of a leg are taken as they came",
        "legs.py",
        "        steps = _ordered(steps)\n",
        "",
    ),
    Mutant(
        "what the statistics tell stands before what was heard",
        "legs.py",
        "        ordered.insert(next(later, len(ordered)), step)\n",
        "        ordered.insert(0, step)\n",
    ),
    Mutant(
        "a caller from a sip: address is one of ours",
        "legs.py",
        "    employee = _but_the_guest(legs, direction, employee)\n",
        "",
    ),
    Mutant("every recording replaces the one before", "tapes.py", "part = max([1, *parts.values()]) + 1", "part = 1"),
    Mutant("the first recording is the call's own", "tapes.py", "return named[-1] if named", "return kept[0] if named"),
    Mutant("a recording too short is waited for", "recorded.py", "return not self.added and (", "return False and ("),
    Mutant(
        "an internal call goes to the CRM",
        "view.py",
        'if self.entry.direction == "internal":\n            return True',
        "if False:\n            return True",
    ),
    Mutant("a record is made twice", "records.py", "or not unknown(view) or any(", "or not unknown(view) or not any("),
    Mutant(
        "finish does not wait for the record",
        "records.py",
        "return not needs_client or unknown(view) is not None",
        "return True",
    ),
    Mutant(
        "the to-do is forgotten",
        "records.py",
        "    if _wants_todo(view, end):\n        _todo",
        "    if False:\n        _todo",
    ),
    Mutant("a deal is not bound to the call", "records.py", 'if made.command.entity == "deal":', "if False:"),
    Mutant(
        "records stay with the talker",
        "records.py",
        "_reassign(view, record, holder, end.responsible)",
        "_reassign(view, record, holder, holder or 0)",
    ),
    Mutant(
        "an anonymous number is written into the CRM",
        "records.py",
        "    if view.client is None or view.known.continues",
        "    if view.known.continues",
    ),
    Mutant(
        "another office's entry makes a record of its own",
        "plans.py",
        "view.known.continues is not None or view.known.made_later",
        "view.known.made_later",
    ),
    Mutant("a record that the second office made first is made again", "plans.py", " or view.known.made_later", ""),
    Mutant(
        "a client handed to another office stays with the first",
        "ends.py",
        "view.known.handed_to if view.known.handed_to is not None else _handed_over(view)",
        "_handed_over(view)",
    ),
    Mutant("one PBX continues itself", "handover.py", "if one.pbx != this.pbx\n        and", "if"),
    Mutant("a talk is continued for ever", "handover.py", "moment <= self.ended + GAP_SECONDS", "True"),
    Mutant("of three offices the first is continued", "handover.py", "last = max(before", "last = min(before"),
    Mutant(
        "the card stays while somebody without a user talks",
        "cards.py",
        "if not now and not _talks_elsewhere(view, end):",
        "if not now:",
    ),
    Mutant("a first talk that was not seen is not waited for", "ends.py", "_TALK_SLACK = 2\n", "_TALK_SLACK = 2**40\n"),
]


UNBROKEN = Mutant("unbroken", "call.py", "def decide(", "def decide(")
"""Must pass: else every mutant would look caught."""


def run(mutant: Mutant) -> tuple[Mutant, str]:
    """caught, SURVIVED, or `does not apply`."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "sandbox")
        shutil.copytree(ROOT / "bx24app", copy / "bx24app", ignore=ignore)
        shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / "bx24app" / "domain" / mutant.file
        source = file.read_text()
        if source.count(mutant.old) != 1:
            return mutant, "does not apply"
        file.write_text(source.replace(mutant.old, mutant.new))
        tests = [test for test in TESTS if (copy / test).exists()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
        # 1: a test failed. Anything else (an import that breaks, no test found) proves nothing.
        return mutant, "caught" if done.returncode == 1 else f"SURVIVED (pytest ended with {done.returncode})"


def main() -> int:
    if run(UNBROKEN)[1] != "SURVIVED (pytest ended with 0)":
        print("the tests fail without any mutant")
        return 1
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(run, MUTANTS))
    width = max(len(mutant.name) for mutant in MUTANTS)
    for mutant, verdict in results:
        print(f"{mutant.file:<11} {mutant.name:<{width}}  {verdict}")
    bad = [mutant for mutant, verdict in results if verdict != "caught"]
    print(f"{len(results) - len(bad)} of {len(results)} mutants caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
