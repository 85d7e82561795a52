"""A full life - install, connect, calls, recordings, a click, a look at pages, an error, forget - and then everything
that was written is
searched for the secrets that were used: logs at DEBUG with the libraries' own, access lines, database, Redis, the
queue's jobs, metrics.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests
from rq import Queue
from rq.job import Job
from sqlalchemy import LargeBinary, select, type_coerce

from bx24app.domain.settings import Settings
from bx24app.infra.encryption import EncryptedText
from bx24app.models import Base, Grant, Portal, Recording, db
from bx24app.operations import erasure
from bx24app.web.base import session
from bx24app.web.settings import policy
from tests.conftest import KEY, SALT, config_for
from tests.support.replayed_scenario import absorb, as_new_call, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import CLIENT_SECRET, World, until, world

DOCUMENT = Settings.model_validate(
    {
        "pbxs": [
            {
                "key": "moscow",
                "lines": [{"number": "74950000001", "line_number": "74950000001"}],
                "employees": [{"extension": "101", "user_id": 11}, {"extension": "102", "user_id": 12}],
            }
        ]
    }
)


class Written:
    """Whatever leaves the program for a disk, by kind."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, kind: str, text: str) -> None:
        self.texts[kind] = self.texts.get(kind, "") + text + "\n"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Descriptions and arguments of all jobs that are queued."""
    found: list[str] = []
    plain = Queue._enqueue_job

    def listening(self: Queue, job: Job, *args: Any, **more: Any) -> Job:
        found.append(f"{job.id} {job.description} {job.args} {job.kwargs} {job.meta}")
        return plain(self, job, *args, **more)

    monkeypatch.setattr(Queue, "_enqueue_job", listening)
    return found


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Everything logged at DEBUG, the libraries' and the server's access lines too, as the operator's file would have
    it.
    """
    held, loud = (
        StringIO(),
        ("", "urllib3", "requests_oauthlib", "rq.worker", "rq.cron", "werkzeug", "alembic", "sqlalchemy.engine"),
    )
    before = {name: logging.getLogger(name).level for name in loud}
    yield held
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def loud(held: StringIO) -> None:
    """After the app has set its logging up."""
    logging.getLogger().handlers[0].stream = held  # type: ignore[attr-defined]
    for name in ("", "urllib3", "requests_oauthlib", "rq.worker", "rq.cron", "werkzeug"):
        logging.getLogger(name).setLevel(logging.DEBUG)


def redis_dump(made: World) -> str:
    """Every key with its value; RQ packs what a job is called with."""
    client, parts = made.app.extensions["bx24app"].redis, []
    readers = {
        b"string": lambda key: [client.get(key)],
        b"hash": lambda key: [piece for pair in client.hgetall(key).items() for piece in pair],
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": lambda key: list(client.smembers(key)),
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    for key in client.keys("*"):
        read = readers.get(client.type(key))
        for value in [key, *(read(key) if read else ())]:
            parts.append((value or b"").decode("latin-1"))
            try:
                parts.append(zlib.decompress(value).decode("latin-1"))
            except (zlib.error, TypeError):
                continue
    return "\n".join(parts)


def database_dump(made: World) -> str:
    """Every column as it lies on the disk: sealed ones are bytes."""
    parts = []
    with made.app.app_context():
        for table in Base.metadata.sorted_tables:
            columns = [
                type_coerce(one, LargeBinary) if isinstance(one.type, EncryptedText) else one for one in table.columns
            ]
            for row in db.session.execute(select(*columns)):
                parts += [str(value) for value in row]
        db.session.rollback()
    return "\n".join(parts)


def claims_of(made: World) -> dict[str, str]:
    """A frame session and what it is a session of."""
    answer = made.open(1)
    found = re.search(r'data-session="([^"]+)"', answer.text)
    assert found, answer.text[:2000]
    return {session.HEADER: found.group(1)}


def lived(made: World, written: Written, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, str], list[str]]:
    """The life; gives the secrets by name, and the telephones."""
    made.install()
    hook = made.connect(DOCUMENT, {"moscow": (KEY, SALT)})["moscow"]
    headers, phones = claims_of(made), []
    for name in ("transfer_blind_by_api", "incoming_answered_by_group"):
        retold = as_new_call(Scenario(FIXTURES / name))
        phones.append(retold.client[1:])
        made.sandbox.call(absorb, made.mango, retold.notices)
        assert {post(hook, notice) for notice in retold.notices} == {200}
        written.add("redis", redis_dump(made))
        made.settle(60)
    bad = {"vpbx_api_key": KEY, "sign": "0" * 64, "json": "{}"}
    assert requests.post(f"{hook}/events/call", data=bad, timeout=20).status_code == 403
    with made.app.app_context():
        tape = db.session.query(Recording.id).filter(Recording.file_id.is_not(None)).first()
        assert tape is not None, "no recording was attached"
        db.session.rollback()
    ticket = requests.post(f"{made.url}/frame/calls/recordings/{tape.id}/ticket", headers=headers, timeout=20).json()[
        "url"
    ]
    assert requests.get(made.url + ticket, timeout=20).status_code == 200
    phones.append("79161239999")  # the PBX refuses the click, and is asked nothing for two minutes
    made.sandbox.call(made.portal.click_to_call, 11, f"+{phones[-1]}")
    made.settle_quietly()
    for page in (
        "/frame",
        "/frame/calls",
        "/frame/pbxs",
        "/frame/pbxs/moscow",
        "/frame/policy",
        "/frame/history",
        "/metrics",
    ):
        answer = requests.get(made.url + page, headers=headers, timeout=20)
        assert answer.status_code == 200, page
        written.add("metrics" if page == "/metrics" else "pages", answer.text)

    def broken() -> None:
        raise RuntimeError(f"refresh_token={secrets['access token 0']} vpbx_api_key={KEY} of +{phones[0]}")

    with made.app.app_context():
        grant = db.session.query(Grant).one()
        portal = db.session.get_one(Portal, grant.portal_id)
        secrets = {"refresh token": grant.refresh_token, "application token": str(portal.application_token)}
        db.session.rollback()
    for number, token in enumerate([*made.sandbox.oauth.access_tokens, *made.sandbox.oauth.refresh_tokens]):
        secrets[f"access token {number}"] = token
    secrets |= {
        "client secret": CLIENT_SECRET,
        "api key": KEY,
        "api salt": SALT,
        "hook key": hook.rpartition("/")[2],
        "secret key": made.config.secret_key,
        "ticket": ticket.partition("ticket=")[2],
        "session": headers[session.HEADER],
        "encryption key": made.config.encryption_keys[0],
    }
    monkeypatch.setattr(policy, "_render_page", lambda *_: broken())
    answer = requests.get(f"{made.url}/frame/policy", headers=headers, timeout=20)
    assert answer.status_code == 500
    written.add("error pages", answer.text)
    for page in (
        f"/media/recording/{tape.id}?ticket=x{secrets['ticket']}",
        f"/mango/x{secrets['hook key']}",
        f"/oauth/callback?code={KEY}&state={SALT}",
    ):
        written.add("error pages", requests.get(made.url + page, timeout=20).text)
    written.add("database", database_dump(made))
    with made.app.app_context():
        erasure.erase_person(made.portal_row()["id"], f"+{phones[0]}")
        db.session.commit()
    return secrets, phones


def test_nothing_that_is_written_holds_a_secret(
    tmp_path: Path, valkey_url: str, jobs: list[str], logged: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written()
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2) as made:
        loud(logged)
        made.portal.limits.rate = 0
        made.add_users([11, 12])
        made.sandbox.call(lambda: made.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Moscow"))
        made.work()
        secrets, phones = lived(made, written, monkeypatch)
        until(lambda: not made.pending(), "never came to rest", 60)
        written.add("redis", redis_dump(made))
    written.add("jobs", "\n".join(jobs))
    written.add("logs", logged.getvalue())
    assert len(secrets) >= 10
    for name, secret in secrets.items():
        assert len(secret) > 9, name
        for kind, text in written.texts.items():
            allowed = (kind, name) in {("pages", "hook key"), ("pages", "session")}
            assert allowed or secret not in text, f"{name} stands in {kind}: {_around(text, secret)}"
    for phone in phones:
        for kind in ("logs", "metrics", "jobs", "error pages"):
            assert phone not in written.texts[kind], (
                f"a telephone stands in {kind}: {_around(written.texts[kind], phone)}"
            )
    logs = written.texts["logs"]
    assert "RuntimeError" in logs, "the error was logged, with its traceback"
    assert '"POST /mango/' in logs, "access lines were written"
    assert "bx24app.jobs.look" in written.texts["jobs"]
    assert {"installed", "opened"} <= set(written.texts["database"].split("\n")), (
        "openings leave a line in the audit log"
    )


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return repr(text[max(0, at - 150) : at] + "<<SECRET>>" + text[at + len(secret) : at + len(secret) + 60])
