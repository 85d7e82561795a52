"""The baseline of a call's price: a script as a careful integrator would write it.

A Flask app checks the signature, stores the notification and queues one RQ job for it; a job sends the REST request of
its step: register, show, hide, finish, attach with the recording. It keeps its notifications and calls in a database of
the same kind as the program's.

python -m benchmarks.script web|worker FOLDER      until SIGTERM; FOLDER/script.json is what `benchmarks.price` wrote
"""

from __future__ import annotations

import base64
import hmac
import json
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import redis
import requests
from flask import Flask, abort, request
from requests.adapters import HTTPAdapter
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from benchmarks.servers import app as servers
from bx24app.mango import vpbx
from tests.conftest import KEY, SALT

QUEUE = "script"
USERS = {"101": 11, "102": 12}
TABLES = (
    "CREATE TABLE IF NOT EXISTS note (id {key}, portal INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, "
    "state TEXT NOT NULL DEFAULT 'new')",
    "CREATE TABLE IF NOT EXISTS call (entry TEXT PRIMARY KEY, call_id TEXT)",
)
_THREADS = 8
_WAIT_SECONDS = 30
"""How long a job waits until another worker's job has registered its call."""
_folder = Path()


@cache
def given() -> dict[str, Any]:
    """What `benchmarks.price` wrote: database, redis, mango, port, portals as [REST address, token]."""
    read: dict[str, Any] = json.loads((_folder / "script.json").read_text())
    return read


def ask_database(statement: str, *values: Any) -> Any:
    """Runs and commits one statement with `?` for its values. Returns the cursor."""
    if not given()["database"]:
        return servers.connection(str(_folder / "script.sqlite")).execute(statement, values)
    connection = servers.server_connection(given()["database"])
    cursor = connection.execute(statement.replace("?", "%s"), values)
    connection.commit()
    return cursor


def make_tables() -> None:
    key = "bigserial PRIMARY KEY" if given()["database"] else "INTEGER PRIMARY KEY"
    for table in TABLES:
        ask_database(table.format(key=key))


@cache
def http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=32, pool_maxsize=8))
    return session


@cache
def queue() -> Queue:
    return Queue(QUEUE, connection=redis.Redis.from_url(given()["redis"]), serializer=JSONSerializer)


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/mango/<int:portal>/<path:name>")
    def accept(portal: int, name: str) -> str:
        raw = request.form["json"]
        if not hmac.compare_digest(vpbx.sign_text(KEY, SALT, raw), request.form["sign"]):
            abort(403)
        statement = "INSERT INTO note (portal, name, body) VALUES (?, ?, ?) RETURNING id"
        [note] = ask_database(statement, portal, name, raw).fetchone()
        queue().enqueue("benchmarks.script.handle_note", note, result_ttl=0)
        return "ok"

    return app


def ask_portal(portal: int, method: str, **params: Any) -> Any:
    """Sends one REST request and returns its result.

    Raises:
        requests.HTTPError: the portal refused.
    """
    address, token = given()["portals"][portal]
    url = f"{address}telephony.externalCall.{method}"
    answer = http().post(url, json={**params, "auth": token}, timeout=65)
    answer.raise_for_status()
    return answer.json()["result"]


def handle_note(note: int) -> None:
    """The job: sends the request that one notification needs."""
    portal, name, body = ask_database("SELECT portal, name, body FROM note WHERE id = ?", note).fetchone()
    content = json.loads(body)
    if name == "events/call" and content["location"] == "abonent":
        _move(portal, content)
    elif name == "events/summary":
        known = {"CALL_ID": _wait_for_call(content["entry_id"]), "USER_ID": USERS[content["to"]["extension"]]}
        seconds = content["end_time"] - content["talk_time"]
        ask_portal(portal, "finish", **known, DURATION=seconds, STATUS_CODE="200", ADD_TO_CHAT=1)
    elif name == "events/record/added":
        file = base64.b64encode(_fetch_recording(content["recording_id"])).decode()
        known = {"CALL_ID": _wait_for_call(content["entry_id"]), "FILENAME": f"{content['entry_id']}.mp3"}
        ask_portal(portal, "attachRecord", **known, FILE_CONTENT=file)
    ask_database("UPDATE note SET state = 'done' WHERE id = ?", note)


def _move(portal: int, content: dict[str, Any]) -> None:
    entry, state, user = content["entry_id"], content["call_state"], USERS[content["to"]["extension"]]
    if state == "Appeared":
        if ask_database("INSERT INTO call (entry) VALUES (?) ON CONFLICT DO NOTHING", entry).rowcount:
            client = {"PHONE_NUMBER": f"+{content['from']['number']}", "TYPE": 2, "CRM_CREATE": 1, "SHOW": 1}
            at = datetime.fromtimestamp(content["timestamp"], UTC).isoformat()
            call = ask_portal(
                portal, "register", **client, USER_ID=user, CALL_START_DATE=at, EXTERNAL_CALL_ID=entry
            )  # fmt: skip
            ask_database("UPDATE call SET call_id = ? WHERE entry = ?", call["CALL_ID"], entry)
        else:
            ask_portal(portal, "show", CALL_ID=_wait_for_call(entry), USER_ID=[user])
    elif state == "Disconnected" and content["disconnect_reason"] != 1110:  # `finish` closes the card of the talker
        ask_portal(portal, "hide", CALL_ID=_wait_for_call(entry), USER_ID=[user])


def _wait_for_call(entry: str) -> str:
    """The portal's id of a call.

    Raises:
        RuntimeError: the call was not registered in time.
    """
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        row = ask_database("SELECT call_id FROM call WHERE entry = ?", entry).fetchone()
        if row and row[0]:
            return str(row[0])
        time.sleep(0.05)
    raise RuntimeError(f"{entry} was never registered")


def _fetch_recording(recording: str) -> bytes:
    raw = json.dumps({"recording_id": recording, "action": "download"}, separators=(",", ":"))
    form = {"vpbx_api_key": KEY, "json": raw, "sign": vpbx.sign_text(KEY, SALT, raw)}
    answer = http().post(f"{given()['mango']}queries/recording/post", data=form, timeout=30, allow_redirects=False)
    answer.raise_for_status()
    file = http().get(answer.headers["Location"], timeout=60)
    file.raise_for_status()
    return file.content


def serve() -> None:
    """One gunicorn worker with threads."""
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self) -> None:
            options = {"bind": f"127.0.0.1:{given()['port']}", "workers": 1, "worker_class": "gthread"}
            for name, value in {**options, "threads": _THREADS, "keepalive": 30, "loglevel": "warning"}.items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return create_app()

    sys.argv = sys.argv[:1]
    Application().run()


def work() -> None:
    worker = SimpleWorker([QUEUE], connection=redis.Redis.from_url(given()["redis"]), serializer=JSONSerializer)
    worker.log_job_description = False
    worker.work(logging_level="WARNING")


def main(part: str, folder: str) -> None:
    global _folder
    _folder = Path(folder)
    make_tables() if part == "web" else None
    serve() if part == "web" else work()


if __name__ == "__main__":
    # The jobs import this module by its name, so `_folder` must be set there and not in __main__.
    from benchmarks import script

    script.main(*sys.argv[1:3])
