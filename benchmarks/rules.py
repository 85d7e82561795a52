"""Rules: choosing one of 200 for a call, and a dry run of 1,000 stored calls."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

from benchmarks.measure import Figure, Measure, best_of
from bx24app import create_app
from bx24app.calls import dry_run
from bx24app.cli import up
from bx24app.config import load
from bx24app.domain.rules import RuleFacts, choose_rule, get_parsed_rules
from bx24app.domain.settings import Settings
from bx24app.models import Call, Portal, db, utcnow

RULES, CALLS = 200, 1000
CHOOSE_MS, DRY_RUN_SECONDS = 0.2, 1.0
LINES = [{"number": f"7495{index:07d}", "name": f"Line {index}"} for index in range(100)]


def document() -> Settings:
    """200 rules with several conditions each. Only the last one matches the calls of this benchmark."""
    made: list[dict[str, Any]] = [
        {
            "name": f"Rule {index}",
            "when": {
                "direction": "in",
                "outcome": ["missed", "failed"],
                "line": LINES[index % 99]["number"],
                "number": f"+7{index % 9}12",
            },
            "do": [{"create": {"entity": "deal", "title": "Missed {{ client.number }} on {{ line.name }}"}}],
        }
        for index in range(RULES - 1)
    ]
    made.append(
        {
            "name": "The last",
            "when": {"direction": "in", "client": "new", "hours": "any"},
            "do": [
                {"create": {"entity": "deal", "title": "{{ client.number }} at {{ call.started_at | time }}"}},
                {"todo": {"deadline_minutes": 30, "title": "Call back {{ client.number }}"}},
            ],
        }
    )
    pbx = {"key": "moscow", "lines": LINES, "employees": [{"extension": "101", "user_id": 11}]}
    return Settings.model_validate({"pbxs": [pbx], "rules": made})


def facts() -> RuleFacts:
    return RuleFacts(
        moment="end",
        direction="in",
        outcome="missed",
        pbx="moscow",
        line=LINES[99]["number"],
        number="+79160000001",
        client="new",
        hours="off",
        weekday="mon",
        talk_seconds=0,
        rang=frozenset({"101", "300"}),
        open_records=frozenset(),
    )


def _choosing(quick: bool) -> list[Figure]:
    rules, seen, times = get_parsed_rules(document()), facts(), 100 if quick else 1000
    chosen = choose_rule(rules, seen)
    assert chosen.rule is not None
    assert chosen.rule.name == "The last"
    took = best_of(times, lambda: choose_rule(rules, seen)) * 1000
    return [Figure("choose one of 200 rules", took, "ms", f"under {CHOOSE_MS} ms", took < CHOOSE_MS)]


def _dry_run(quick: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory() as place:
        app = create_app(load({"BX24APP_DATA_DIR": place, "BX24APP_REDIS_URL": "redis://127.0.0.1:1"}))
        up.migrate_database(app)
        with app.app_context():
            portal = Portal(
                member_id="m" * 32,
                domain="bench.test",
                client_endpoint="",
                server_endpoint="",
                client_id="",
                state="active",
            )
            db.session.add(portal)
            db.session.flush()
            db.session.add_all([_call(portal.id, index) for index in range(CALLS)])
            db.session.commit()
            draft = document()

            def run() -> None:
                calls = dry_run.load_last_calls(db.session(), portal.id, CALLS)
                rows = dry_run.compare_rules(db.session(), portal, draft, calls)
                assert len(rows) == CALLS
                assert all(row.draft.rule == "The last" for row in rows)
                db.session.rollback()

            took = best_of(1 if quick else 3, run)
    return [
        Figure("dry run of 1,000 calls, 200 rules", took, "s", f"under {DRY_RUN_SECONDS:.0f} s", took < DRY_RUN_SECONDS)
    ]


def _call(portal_id: int, index: int) -> Call:
    at = utcnow() - timedelta(minutes=index)
    return Call(
        portal_id=portal_id,
        pbx_id=1,
        pbx_key="moscow",
        entry_id=f"entry{index}",
        state="finished",
        direction="in",
        outcome="missed",
        client_number=f"+7916{index:07d}",
        started_at=at,
        ended_at=at,
        heard_at=at,
        user_id=11,
        users=[],
        crm=[],
        facts={
            "seen": {
                "moment": "end",
                "direction": "in",
                "outcome": "missed",
                "pbx": "moscow",
                "line": LINES[99]["number"],
                "number": f"+7916{index:07d}",
                "client": "new",
                "hours": "off",
                "weekday": "mon",
                "talk_seconds": 0,
                "rang": ["101"],
                "open_records": [],
            },
            "case": {"raw_line": LINES[99]["number"], "extension": "101", "pick": index},
        },
    )


MEASURES = (
    Measure("choosing", "which of 200 rules holds for a call", _choosing),
    Measure("dry-run", "a draft of 200 rules against 1,000 stored calls", _dry_run),
)
