"""The baseline of calls a second: one RQ job per notification and one REST request per step, as a good programmer would
write it.

python -m benchmarks.job_a_notice fork|simple REDIS_URL FOLDER      one worker, until SIGTERM

Connection pool, keep-alive and database settings are those of the program. All imports and a connection to every portal
are done before the worker starts. `fork` is RQ's default worker (one process per job), `simple` its SimpleWorker.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import redis
import requests
from requests.adapters import HTTPAdapter
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

QUEUE = "naive"
USERS = {"101": 11, "102": 12}
WAIT_SECONDS = 30
"""How long a job waits until another worker's job has registered its call."""

_folder = Path()


@cache
def http() -> requests.Session:
    """One pooled session, as in the program."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=256, pool_maxsize=64))
    return session


@cache
def portals() -> list[tuple[str, str]]:
    """(REST address, access token) of each portal."""
    return [(one[0], one[1]) for one in json.loads((_folder / "portals.json").read_text())]


@cache
def database() -> sqlite3.Connection:
    """Maps Mango's calls to the portal's calls."""
    connection = sqlite3.connect(_folder / "naive.sqlite", isolation_level=None, timeout=15)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS call (entry TEXT PRIMARY KEY, call_id TEXT)")
    return connection


def ask(portal: int, method: str, **params: Any) -> Any:
    """Sends one REST request and returns its result.

    Raises:
        requests.HTTPError: the portal refused.
    """
    address, token = portals()[portal]
    answer = http().post(address + method, json={**params, "auth": token}, timeout=65)
    answer.raise_for_status()
    return answer.json()["result"]


def handle_notification(portal: int, name: str, raw: str) -> None:
    """The job: sends the requests that one notification needs."""
    content = json.loads(raw)
    if name == "events/call":
        _moved(portal, content)
    elif name == "events/summary":
        seconds = content["end_time"] - content["talk_time"]
        ask(
            portal,
            "telephony.externalCall.finish",
            CALL_ID=_call(content["entry_id"]),
            USER_ID=USERS[content["to"]["extension"]],
            DURATION=seconds,
            STATUS_CODE="200",
            ADD_TO_CHAT=1,
        )


def _moved(portal: int, content: dict[str, Any]) -> None:
    entry, state, number = content["entry_id"], content["call_state"], f"+{content['from']['number']}"
    if content["location"] == "ivr" and state == "Appeared":
        ask(portal, "telephony.externalCall.searchCrmEntities", PHONE_NUMBER=number)
    if content["location"] != "abonent":
        return
    user = USERS[content["to"]["extension"]]
    if state == "Appeared":
        if database().execute("INSERT OR IGNORE INTO call (entry) VALUES (?)", (entry,)).rowcount:
            at = datetime.fromtimestamp(content["timestamp"], UTC).isoformat()
            made = ask(
                portal,
                "telephony.externalCall.register",
                USER_ID=user,
                PHONE_NUMBER=number,
                TYPE=2,
                CALL_START_DATE=at,
                CRM_CREATE=1,
                SHOW=1,
                EXTERNAL_CALL_ID=entry,
            )
            database().execute("UPDATE call SET call_id = ? WHERE entry = ?", (made["CALL_ID"], entry))
        else:
            ask(portal, "telephony.externalCall.show", CALL_ID=_call(entry), USER_ID=[user])
    elif state == "Disconnected" and content["disconnect_reason"] != 1110:  # `finish` closes the card of the talker
        ask(portal, "telephony.externalCall.hide", CALL_ID=_call(entry), USER_ID=[user])


def _call(entry: str) -> str:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        row = database().execute("SELECT call_id FROM call WHERE entry = ?", (entry,)).fetchone()
        if row and row[0]:
            return str(row[0])
        time.sleep(0.01)
    raise RuntimeError(f"{entry} was never registered")


def queue(connection: redis.Redis) -> Queue:
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def main(kind: str, url: str, folder: str) -> None:
    global _folder
    _folder = Path(folder)
    for portal in range(len(portals())):
        ask(portal, "server.time")
    database().close()
    database.cache_clear()  # SQLite's connections must not be carried over a fork: each job of `fork` opens its own
    worker = Worker if kind == "fork" else SimpleWorker
    connection = redis.Redis.from_url(url)
    made = worker([QUEUE], connection=connection, serializer=JSONSerializer)
    made.log_job_description = False
    connection.incr("ready")
    made.work(logging_level="WARNING")


if __name__ == "__main__":
    # The jobs import this module by its name, so `_folder` must be set there and not in __main__.
    from benchmarks import job_a_notice

    job_a_notice.main(*sys.argv[1:4])
