"""A PostgreSQL database after a year: one portal with a million calls, 10,000 employees and 500 lines.

The server is a temporary one of Debian's packages. The database itself makes the rows (`generate_series`), without
secondary indexes meanwhile: that takes minutes instead of hours.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import Connection, text

from bx24app import create_app, settings
from bx24app.calls.statistics import aggregation
from bx24app.cli import up
from bx24app.config import load
from bx24app.domain.settings import Settings
from bx24app.models import Portal, db
from tests.support.servers import postgres, valkey

EMPLOYEES, LINES, DAYS = 10_000, 500, 365
PBX = "moscow"
_CALLS = """
INSERT INTO call (portal_id, pbx_id, pbx_key, entry_id, visible, state, direction, line_number, client_number, started_at, answered_at,
 ended_at, talk_seconds, outcome, user_id, users, responsible_id, bitrix_call_id, crm, activity_id, rule, facts, unmapped, problem, lost,
 heard_at, updated_at, settings_version_id)
SELECT :portal, 1, 'moscow', 'entry' || n, n % 50 <> 0, CASE WHEN n % 4000 = 0 THEN 'dead' ELSE 'finished' END,
 CASE WHEN n % 50 = 0 THEN 'internal' WHEN n % 3 = 0 THEN 'out' ELSE 'in' END, '7495' || lpad((n % :lines)::text, 7, '0'),
 '+7916' || lpad((hashint4(n) & 131071)::text, 7, '0'), at, CASE WHEN n % 4 > 0 THEN at + interval '8 seconds' END,
 at + interval '2 minutes', CASE WHEN n % 4 > 0 THEN 112 ELSE 0 END, CASE WHEN n % 4 > 0 THEN 'answered' ELSE 'missed' END,
 CASE WHEN n % 4 > 0 THEN person END, CASE WHEN n % 4 > 0 THEN jsonb_build_array(person) ELSE '[]' END, person, 'externalCall.' || n,
 jsonb_build_array(jsonb_build_object('entity', 'contact', 'id', hashint4(n) & 131071),
                   jsonb_build_object('entity', 'deal', 'id', n, 'created', true)), n, 'Rule ' || n % 20,
 jsonb_build_object('seen', jsonb_build_object('moment', 'end', 'direction', 'in', 'outcome', 'answered', 'pbx', 'moscow', 'line',
   '7495' || lpad((n % :lines)::text, 7, '0'), 'client', 'new', 'hours', 'on', 'weekday', 'mon', 'talk_seconds', 112,
   'rang', jsonb_build_array((person % :employees)::text), 'open_records', '[]'::jsonb)),
 CASE WHEN n % 500 = 0 THEN (20000 + n % 7)::text END, CASE WHEN n % 4000 = 0 THEN 'The portal refused it' END, n % 20000 = 1,
 at, at + interval '3 minutes', (SELECT max(id) FROM settings_version)
FROM (SELECT n, 1 + (hashint4(n + 7) & 1073741823) % :employees AS person,
      now() - interval '1 hour' - make_interval(secs => (:calls - n) * (:days * 86400.0 / :calls)) AS at
      FROM generate_series(1, :calls) AS n) AS one"""  # noqa: E501
_PEOPLE = "INSERT INTO call_person (call_id, user_id, portal_id, started_at) SELECT id, responsible_id, portal_id, started_at FROM call WHERE entry_id LIKE 'entry%'"  # noqa: E501
_RECORDS = """INSERT INTO call_record (portal_id, entity, record_id, call_id)
SELECT portal_id, one.value ->> 'entity', (one.value ->> 'id')::integer, call.id FROM call, jsonb_array_elements(crm) AS one WHERE entry_id LIKE 'entry%'"""  # noqa: E501
_DELIVERIES = """
INSERT INTO delivery (portal_id, call_id, key, kind, command, state, uncertain, attempts, sent_at, done_at, answer, reason, created_at)
SELECT portal_id, id, kind || '-0', kind, jsonb_build_object('call', entry_id, 'number', client_number),
 CASE WHEN id % 4000 = 0 AND kind = 'Finish' THEN 'dead' WHEN id > :last AND kind = 'Finish' THEN 'waiting' ELSE 'done' END, false, 1,
 started_at, started_at, '{"result": true}', CASE WHEN id % 4000 = 0 AND kind = 'Finish' THEN 'ERROR_CORE' END, started_at
FROM call, unnest(ARRAY['Register', 'Finish']) AS kind WHERE entry_id LIKE 'entry%'"""  # noqa: E501
_RECORDINGS = """
INSERT INTO recording (portal_id, call_id, recording_id, part, user_id, seconds, bitrix_call_id, state, noticed_at, tries, attempted,
 file_name, file_id, attached_at, lag_seconds, problem)
SELECT portal_id, id, 'rec' || id, 1, user_id, 112, bitrix_call_id, CASE WHEN lost THEN 'lost' ELSE 'attached' END, ended_at, 1, false,
 'call.mp3', id, ended_at + interval '9 seconds', 9.5, CASE WHEN lost THEN 'Mango has no such recording' END
FROM call WHERE outcome = 'answered' AND entry_id LIKE 'entry%'"""  # noqa: E501
_NOTIFICATIONS = """
INSERT INTO notification (portal_id, pbx_id, dialect, name, entry_id, dedup_key, body, state, reason, received_at)
SELECT portal_id, pbx_id, 'vpbx', 'events/call', entry_id, md5(entry_id || ':' || seq),
 jsonb_build_object('entry_id', entry_id, 'call_id', 'leg' || id, 'timestamp', extract(epoch FROM started_at)::bigint + seq, 'seq', seq,
   'call_state', (ARRAY['Appeared', 'Connected', 'OnHold', 'Disconnected'])[1 + seq % 4], 'location', 'abonent',
   'from', jsonb_build_object('number', ltrim(client_number, '+')),
   'to', jsonb_build_object('extension', (1000 + responsible_id)::text, 'number', 'sip:u@bench.mangosip.ru', 'line_number', line_number))::text,
 CASE WHEN id % 5000 = 0 AND seq = 1 THEN 'rejected' ELSE 'handled' END, NULL, started_at + make_interval(secs => seq)
FROM call, generate_series(1, :each) AS seq WHERE entry_id LIKE 'entry%'"""  # noqa: E501
_USERS = """
INSERT INTO portal_user (portal_id, user_id, active, name, email, inner_number, phones, seen_at)
SELECT :portal, n, n % 100 > 0, 'Employee ' || n, 'e' || n || '@bench.test', (1000 + n)::text, '[]', now()
FROM generate_series(1, :employees) AS n"""
_HISTORY = """INSERT INTO audit (portal_id, at, user_id, source, address, what, facts)
SELECT :portal, now() - make_interval(mins => n), 1, 'frame', '192.0.2.1', 'frame opened', '{}' FROM generate_series(1, 100000) AS n"""  # noqa: E501
BIG = ("call", "call_person", "call_record", "delivery", "recording", "notification", "audit")


@contextmanager
def server(place: Path) -> Iterator[Flask]:
    """The app on an empty, migrated PostgreSQL and a Valkey of its own."""
    with postgres(place) as url, valkey(place) as redis_url:
        made = create_app(
            load(
                {"BX24APP_DATA_DIR": str(place / "var"), "BX24APP_ALLOW_LOOPBACK": "1", "BX24APP_LOG_LEVEL": "ERROR"},
                database_url=url,
                redis_url=redis_url,
                secret_key="benchmark",
                encryption_keys=(Fernet.generate_key().decode(),),
            )
        )
        up.migrate_database(made)
        try:
            yield made
        finally:
            with made.app_context():
                db.engine.dispose()


@contextmanager
def filled(calls: int, notifications: int, quick: bool) -> Iterator[tuple[Flask, int]]:
    """(app, portal id) with this number of calls, and of notifications for each."""
    with tempfile.TemporaryDirectory() as place, server(Path(place)) as app:
        with app.app_context():
            portal_id = portal(quick)
            fill(portal_id, calls, notifications)
            aggregation.refresh_counts()
            db.session.remove()
        yield app, portal_id


def portal(quick: bool) -> int:
    """Creates a portal with settings, users and Mango's employees and lines. Returns its id."""
    employees, lines = (500, 50) if quick else (EMPLOYEES, LINES)
    row = Portal(
        member_id="b" * 32, domain="bench.test", client_endpoint="https://bench.test/rest/", server_endpoint="https://oauth.bitrix.info",
        client_id="local.bench", state="paused", application_token="bench",
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    settings.save_version(row, _document(employees, lines), {PBX: ("k" * 32, "s" * 32)})
    db.session.execute(text(_USERS), {"portal": row.id, "employees": employees})
    db.session.commit()
    say_of_mango(employees, lines)
    return row.id


def _document(employees: int, lines: int) -> Settings:
    people = [{"extension": str(1000 + n), "user_id": n} for n in range(1, employees + 1) if n % 50]
    numbers = [{"number": f"7495{n:07d}", "name": f"Line {n}"} for n in range(lines)]
    rules = [
        {
            "name": f"Rule {n}",
            "when": {"outcome": ["missed"]},
            "do": [{"create": {"entity": "deal", "title": "Missed"}}],
        }
        for n in range(20)
    ]
    pbx = {"key": PBX, "name": "Moscow", "default_user_id": 1, "lines": numbers, "employees": people}
    return Settings.model_validate({"pbxs": [pbx], "rules": rules})


def say_of_mango(employees: int, lines: int) -> None:
    """Stores Mango's employees and lines as if fetched just now, so that no page requests them."""
    from bx24app.infra.runtime import runtime

    users = [
        {
            "name": f"Employee {n}",
            "email": f"e{n}@bench.test",
            "extension": str(1000 + n),
            "numbers": [],
            "mobile": None,
            "user_id": str(n),
            "department": None,
        }
        for n in range(1, employees + 1)
    ]
    numbers = [{"number": f"7495{n:07d}", "name": f"Line {n}", "line_id": str(n), "region": None} for n in range(lines)]
    for name, rows in (("users", users), ("lines", numbers)):
        runtime().redis.set(f"mango:{name}:1", json.dumps(rows))


def fill(portal_id: int, calls: int, notifications: int, waiting: int = 40) -> None:
    """Inserts the rows of a year, the latest an hour old, into tables without other calls. `waiting`: calls whose end
    the portal has not received.
    """
    last = calls - waiting if waiting else 2**62
    values = {"portal": portal_id, "calls": calls, "each": notifications, "days": DAYS, "last": last}
    employees = db.session.scalar(text("SELECT count(*) FROM portal_user")) or 1
    lines = LINES if employees == EMPLOYEES else 50
    values |= {"employees": employees, "lines": lines}
    db.session.remove()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET synchronous_commit = off"))
        connection.execute(text("SET maintenance_work_mem = '512MB'"))
        aside = _put_aside(connection)
        for statement in (_CALLS, _PEOPLE, _RECORDS, _DELIVERIES, _RECORDINGS, _NOTIFICATIONS, _HISTORY):
            _say(statement.split()[2], connection, statement, values)
        for statement in aside:
            connection.execute(text(statement))
        _say("vacuum", connection, "VACUUM ANALYZE", {})


def _say(what: str, connection: Connection, statement: str, values: dict[str, int]) -> None:
    started_at = time.monotonic()
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.execute(text(statement), used)
    print(f"  {what} {time.monotonic() - started_at:.0f} s", file=sys.stderr, flush=True)


def _put_aside(connection: Connection) -> list[str]:
    """Drops the secondary indexes and foreign keys of the big tables. Returns the statements that create them again."""
    tables = ", ".join(f"'{name}'" for name in BIG)
    constraints = connection.execute(
        text(f"SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), contype FROM pg_constraint "  # noqa: S608
             f"WHERE contype IN ('f', 'u') AND conrelid::regclass::text IN ({tables})")
    ).all()  # fmt: skip
    again = []
    for table, name, definition, _ in constraints:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    indexes = connection.execute(
        text(f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ({tables}) AND indexname NOT LIKE 'pk_%'")  # noqa: S608
    ).all()
    for name, definition in indexes:
        connection.execute(text(f"DROP INDEX {name}"))
        again.append(definition)
    return again
