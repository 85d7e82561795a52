"""What PostgreSQL's row-level security would cost: the same short transactions with and without it, in alternating
rounds.

Usage: python -m benchmarks.row_security
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests.support.servers import postgres

ROUNDS, EACH, PORTALS = 6, 1500, 50
_MAKE = """
CREATE TABLE plain (id bigserial PRIMARY KEY, portal_id int NOT NULL, body text NOT NULL);
INSERT INTO plain (portal_id, body) SELECT i % 50, repeat('x', 300) FROM generate_series(1, 200000) AS i;
CREATE INDEX ON plain (portal_id, id);
CREATE TABLE walled (LIKE plain INCLUDING ALL);
INSERT INTO walled SELECT * FROM plain;
ALTER TABLE walled ENABLE ROW LEVEL SECURITY;
ALTER TABLE walled FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON walled USING (portal_id = current_setting('app.portal')::int);
CREATE ROLE app LOGIN;
GRANT ALL ON plain, walled TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
ANALYZE;
"""


def transactions(connection: psycopg.Connection, table: str, with_policy: bool) -> float:
    """Milliseconds per transaction, which reads a page of fifty rows and writes one row.

    `with_policy`: sets the portal for the policy first.
    """
    began = time.perf_counter()
    for number in range(EACH):
        portal = number % PORTALS
        with connection.transaction(), connection.cursor() as cursor:
            if with_policy:
                cursor.execute("SELECT set_config('app.portal', %s, true)", (str(portal),))
            cursor.execute(f"SELECT * FROM {table} WHERE portal_id = %s ORDER BY id DESC LIMIT 50", (portal,))  # noqa: S608
            cursor.fetchall()
            cursor.execute(f"INSERT INTO {table} (portal_id, body) VALUES (%s, 'y')", (portal,))  # noqa: S608
    return (time.perf_counter() - began) / EACH * 1000


def main() -> int:
    """Prints the medians."""
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as url:
        plain_url = url.replace("+psycopg", "")
        with psycopg.connect(plain_url, autocommit=True) as owner:
            owner.execute(_MAKE)
        with psycopg.connect(plain_url, autocommit=True, user="app") as connection:
            connection.execute("SET synchronous_commit = off")  # the disk is not what is measured
            times_by_name: dict[str, list[float]] = {"without": [], "with": []}
            for _ in range(ROUNDS):
                times_by_name["without"].append(transactions(connection, "plain", with_policy=False))
                times_by_name["with"].append(transactions(connection, "walled", with_policy=True))
    for name, times in times_by_name.items():
        print(f"{name:8} {statistics.median(times):.3f} ms a transaction (median of {ROUNDS} rounds of {EACH})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
