"""`make mutants`: break the fold on purpose, one way at a time; every break must fail the tests of the domain.

Each mutant is one replacement in one file of a copy of the package. A mutant that survives, or that no longer applies,
ends with 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = [
    "tests/mango/test_scenarios.py",
    "tests/domain/calls/test_decision.py",
    "tests/domain/calls/test_linked_calls.py",
]


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str


RULES = [
    Mutant(
        "a rule is chosen again at every fold",
        "calls/plan.py",
        "if view.context.chosen_rule is not None:",
        "if False:",
    ),
    Mutant(
        "a rule is chosen before anybody rang",
        "calls/plan.py",
        "elif not (view.has_rung or",
        "elif False and not (view.has_rung or",
    ),
    Mutant(
        "a rule below is chosen while one above is open",
        "rules/engine.py",
        "        if holds is None:\n            return RuleChoice(None, False,",
        "        if False:\n            return RuleChoice(None, False,",
    ),
    Mutant(
        "the last rule that holds decides",
        "rules/engine.py",
        "    for rule in rules:\n        holds",
        "    for rule in reversed(rules):\n        holds",
    ),
    Mutant(
        "what never was known holds at the end",
        "rules/engine.py",
        'return False if facts.moment == "end" else None',
        'return facts.moment == "end" or None',
    ),
    Mutant(
        "the day of the month is not computed",
        "rules/conditions.py",
        "compute=_day_of_month,",
        "compute=lambda call: None,",
    ),
    Mutant(
        "working hours are not computed", "rules/conditions.py", "compute=_working_hours,", "compute=lambda call: None,"
    ),
    Mutant(
        "an open record is no reason against another",
        "calls/crm_records.py",
        'if action.duplicate == "allow" or record is None',
        "if True or record is None",
    ),
    Mutant(
        "duplicate: allow is not allowed",
        "calls/crm_records.py",
        'if action.duplicate == "allow" or record is None',
        "if record is None",
    ),
    Mutant(
        "the client is not looked for before a record is made",
        "calls/crm_lookups.py",
        "_needs_client_again(view, end, plan):\n",
        "_needs_client_again(view, end, plan) and False:\n",
    ),
    Mutant(
        "open records are not asked for before a choice",
        "calls/crm_records.py",
        "        ask_questions(view, choice_lookups(view))\n",
        "",
    ),
    Mutant(
        "records are made before their look-ups are answered",
        "calls/crm_records.py",
        "    if not ask_questions(view, record_lookups(view, end, plan)):\n        return False\n",
        "    ask_questions(view, record_lookups(view, end, plan))\n",
    ),
    Mutant(
        "finish leaves before the plan is decided",
        "calls/crm_records.py",
        "choice_lookups(view))\n        return False",
        "choice_lookups(view))\n        return True",
    ),
    Mutant(
        "a refused record is not tried again",
        "calls/crm_records.py",
        "    if level >= len(variants) or",
        "    if level >= 1 or",
    ),
    Mutant(
        "a refused record is tried for ever the same",
        "calls/crm_records.py",
        "            **variants[level],\n",
        "            **variants[0],\n",
    ),
    Mutant(
        "what speaks of the end is made early",
        "calls/crm_records.py",
        "    if not planned.is_ready:\n        return False\n",
        "",
    ),
    Mutant(
        "a lead of simple CRM stays a lead",
        "calls/crm_lookups.py",
        'if action.entity == "lead" and view.policy.crm_mode == 2:',
        "if False:",
    ),
    Mutant(
        "calls.* make records of known clients",
        "calls/crm_records.py",
        "    if plan.rule is None and not _was_client_unknown(view):\n        return []\n",
        "",
    ),
    Mutant(
        "a deal hangs on nobody",
        "calls/crm_records.py",
        "            contact=contact,\n",
        "            contact=None,\n",
    ),
    Mutant(
        "a to-do of a new client has no place",
        "calls/crm_records.py",
        "    if end.is_complete and not _has_target(view, plan):",
        "    if False:",
    ),
    Mutant(
        "late calls make records",
        "calls/crm_records.py",
        "if view.client_number is None or not view.context.may_create_records:",
        "if view.client_number is None:",
    ),
    Mutant(
        "late calls send notices",
        "calls/crm_records.py",
        " and planned.is_ready and view.context.may_notify:",
        " and planned.is_ready:",
    ),
    Mutant(
        "late calls make to-dos",
        "calls/after_finish.py",
        "    if view.client_number is None or not view.context.may_notify:",
        "    if view.client_number is None:",
    ),
    Mutant(
        "a deal that is used is not bound",
        "calls/after_finish.py",
        "        if used is not None and used != record_queries",
        "        if False and used != record_queries",
    ),
    Mutant(
        "misses do not fold",
        "calls/after_finish.py",
        'if end.result == "missed" and view.context.open_todos:',
        "if False:",
    ),
    Mutant("a to-do that was done by hand counts on", "calls/after_finish.py", 'if answer.get("open"):', "if True:"),
    Mutant(
        "an answered call closes no to-do",
        "calls/after_finish.py",
        "again = _close_todos(view) if end.is_answered else None",
        "again = None",
    ),
    Mutant(
        "comments are forgotten", "calls/after_finish.py", "    _add_comments(view, plan)\n    _correct", "    _correct"
    ),
    Mutant("who is absent gets it", "calls/rule_case.py", 'if if_absent == "next":', "if False:"),
    Mutant("the client's manager is nobody", "calls/rule_case.py", '"owner": case.manager_id,', '"manager_id": None,'),
    Mutant(
        "a transfer does not count for a rule",
        "calls/rule_case.py",
        "    if follow and case.transferred_to is not None and",
        "    if False and",
    ),
    Mutant(
        "the talker is not asked",
        "calls/rule_case.py",
        '"answered": case.talker_id if case.answered_at is not None else None,',
        '"answered": None,',
    ),
    Mutant(
        "dismissed users get records",
        "calls/rule_case.py",
        "if user is not None and user not in policy.dismissed_users]",
        "if user is not None]",
    ),
    Mutant(
        "working minutes are minutes",
        "calls/rule_case.py",
        "if case.line and action.working else ()",
        "if False else ()",
    ),
    Mutant(
        "nothing matches, and calls.* make it all the same",
        "calls/plan.py",
        "actions = rule.actions if rule else default_actions",
        "actions = rule.actions if rule and rule.actions[0].kind != 'nothing' else default_actions",
    ),
]
"""What rules could do wrong."""
MUTANTS = [
    Mutant(
        "a call without a summary is finished at once",
        "calls/outcome.py",
        "clock.last_received_at + view.policy.quiet_seconds",
        "clock.last_received_at",
    ),
    Mutant(
        "a step that is still missing is not waited for",
        "calls/outcome.py",
        " or any(leg.has_gap for leg in entry.legs)",
        "",
    ),
    Mutant(
        "an unmapped extension loses its call",
        "calls/outcome.py",
        "user = (talkers[-1] if talkers else named_talker(view)) or policy.default_user",
        "user = talkers[-1]",
    ),
    Mutant("cards are never hidden", "calls/cards.py", "    if hidden:\n", "    if False:\n"),
    Mutant("the card is shown to nobody else", "calls/cards.py", "    if new:\n", "    if False:\n"),
    Mutant(
        "the card stays with those who ring while one talks",
        "calls/cards.py",
        "(talking or ringing)",
        "(talking + ringing)",
    ),
    Mutant(
        "finish is sent again",
        "calls/outcome.py",
        "if not end.is_complete or view.ledger.finish_entry() is not None or",
        "if not end.is_complete or",
    ),
    Mutant(
        "finish leaves on the first summary, open legs or not",
        "calls/outcome.py",
        "        if _is_consistent(view):\n",
        "        if True:\n",
    ),
    Mutant(
        "missed is said of an answered call",
        "calls/outcome.py",
        'outcome = "answered" if answered else',
        'outcome = "answered" if False else',
    ),
    Mutant(
        "one unanswered leg makes the call missed",
        "calls/entry.py",
        "return self.end_event.talk_at or None",
        "return None",
    ),
    Mutant("a missed call is 603", "calls/outcome.py", 'status = "304" if', 'status = "603" if'),
    Mutant(
        "the first talker is the talker",
        "calls/outcome.py",
        "user = (talkers[-1] if talkers",
        "user = (talkers[0] if talkers",
    ),
    Mutant(
        "a transfer gives the client to nobody",
        "calls/outcome.py",
        "if transferred_to is not None and mode",
        "if False and mode",
    ),
    Mutant("the line's responsible is not asked", "calls/outcome.py", "    if line_user is not None:", "    if False:"),
    Mutant(
        "talk is counted from the first ring",
        "calls/entry.py",
        "self.end_event.ended_at - self.talk_at)",
        "self.end_event.ended_at - self.started_at)",
    ),
    Mutant(
        "a consultation counts as a talk with the client",
        "calls/entry_assembly.py",
        "if who is not None and with_client:",
        "if who is not None:",
    ),
    Mutant(
        "the callback's first leg counts as a talk",
        "calls/entry_assembly.py",
        'if leg.is_callback_start and direction != "internal":',
        "if False:",
    ),
    Mutant(
        "steps of a leg are taken as they came",
        "calls/entry_assembly.py",
        "        steps = _order_steps(steps)\n",
        "",
    ),
    Mutant(
        "what the statistics tell stands before what was heard",
        "calls/entry_assembly.py",
        "        ordered.insert(next(later, len(ordered)), step)\n",
        "        ordered.insert(0, step)\n",
    ),
    Mutant(
        "a caller from a sip: address is one of ours",
        "calls/entry_assembly.py",
        "    employee = _exclude_sip_guest(legs, direction, employee)\n",
        "",
    ),
    Mutant(
        "every recording replaces the one before",
        "calls/call_recordings.py",
        "part = max([1, *parts.values()]) + 1",
        "part = 1",
    ),
    Mutant(
        "the first recording is the call's own",
        "calls/call_recordings.py",
        "return named[-1] if named",
        "return stored[0] if named",
    ),
    Mutant(
        "a recording too short is waited for",
        "calls/recording_facts.py",
        "return not self.is_added and (",
        "return False and (",
    ),
    Mutant(
        "an internal call goes to the CRM",
        "calls/call_view.py",
        'if self.entry.direction == "internal":\n            return True',
        "if False:\n            return True",
    ),
    Mutant(
        "a record is made twice",
        "calls/crm_records.py",
        "    if record_queries.find_live_attempt(view, key) or find_existing_record(",
        "    if find_existing_record(",
    ),
    Mutant(
        "finish does not wait for the record",
        "calls/crm_records.py",
        "    if record_queries.is_client_unknown(view) is None:\n        return False\n",
        "    if record_queries.is_client_unknown(view) is None:\n        return True\n",
    ),
    Mutant(
        "the to-do is forgotten",
        "calls/after_finish.py",
        "    _add_todos(view, plan, wanted)\n    return again",
        "    return again",
    ),
    Mutant(
        "a deal is not bound to the call",
        "calls/after_finish.py",
        'if bound or command.entity not in ("lead", "contact"):',
        "if bound:",
    ),
    Mutant(
        "records stay with the talker",
        "calls/after_finish.py",
        "        _add_reassign(view, record, holder, wanted)\n",
        "        _add_reassign(view, record, holder, holder)\n",
    ),
    Mutant(
        "an anonymous number is written into the CRM",
        "calls/crm_records.py",
        "if view.client_number is None or not view.context.may_create_records:",
        "if not view.context.may_create_records:",
    ),
    *RULES,
    Mutant(
        "another office's entry makes a record of its own",
        "calls/plan.py",
        "view.context.continued_call is not None or view.context.has_linked_record",
        "view.context.has_linked_record",
    ),
    Mutant(
        "a record that the second office made first is made again",
        "calls/plan.py",
        " or view.context.has_linked_record",
        "",
    ),
    Mutant(
        "a client handed to another office stays with the first",
        "calls/outcome.py",
        "view.context.handed_to if view.context.handed_to is not None else _transferred_user(view)",
        "_transferred_user(view)",
    ),
    Mutant("one PBX continues itself", "calls/linked_calls.py", "if call.pbx_id != this.pbx_id\n        and", "if"),
    Mutant("a talk is continued for ever", "calls/linked_calls.py", "moment <= self.ended_at + GAP_SECONDS", "True"),
    Mutant(
        "of three offices the first is continued",
        "calls/linked_calls.py",
        "last = max(candidates",
        "last = min(candidates",
    ),
    Mutant(
        "the card stays while somebody without a user talks",
        "calls/cards.py",
        "if not users and not _is_talk_elsewhere(view, end):",
        "if not users:",
    ),
    Mutant(
        "a first talk that was not seen is not waited for",
        "calls/outcome.py",
        "_TALK_TOLERANCE_SECONDS = 2\n",
        "_TALK_TOLERANCE_SECONDS = 2**40\n",
    ),
]


UNBROKEN = Mutant("unbroken", "calls/decision.py", "def decide_call(", "def decide_call(")
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


def main(words: list[str]) -> int:
    """`words`: only mutants whose name holds one of them."""
    asked = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    if run(UNBROKEN)[1] != "SURVIVED (pytest ended with 0)":
        print("the tests fail without any mutant")
        return 1
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(run, asked))
    width = max(len(mutant.name) for mutant in asked)
    for mutant, verdict in results:
        print(f"{mutant.file:<11} {mutant.name:<{width}}  {verdict}")
    bad = [mutant for mutant, verdict in results if verdict != "caught"]
    print(f"{len(results) - len(bad)} of {len(results)} mutants caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
