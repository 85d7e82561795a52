"""The target of the fuzz test: an installed portal with a PBX. `fire` sends a request and judges the answer.

An answer is wrong if it is a 500, has a traceback, is slow or lacks headers, or if the app stores garbage.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from werkzeug.test import EnvironBuilder, run_wsgi_app

from bx24app import settings
from bx24app.calls import drain
from bx24app.domain.settings import Settings
from bx24app.models import Base, Notification, Portal, db
from bx24app.web.base import session
from tests.conftest import KEY, SALT, config_for
from tests.support.stack import World, world

SLOW_SECONDS = 5.0
"""Limit of processor time for one request. Others take less than a tenth of it; a runaway regex takes minutes."""
OUTLIERS = 10
SHARES = (("half below", 0.5), ("99 % below", 0.99), ("99.9 % below", 0.999), ("longest", 1.0))
HELD_BY_THE_PORTAL = "portal_silent"
DOCUMENT = Settings.model_validate(
    {
        "pbxs": [
            {
                "key": "moscow",
                "dialects": ["vpbx", "events"],
                "lines": [{"number": "74950000001"}],
                "employees": [{"extension": "101", "user_id": 1}],
            }
        ]
    }
)


@dataclass(frozen=True)
class Shot:
    """One request. `path` is percent-encoded, as a client sends it."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    kind: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    session: str = ""
    """The session that it carries: `frame`, `place` or none."""


@dataclass
class Figures:
    shots: int = 0
    drained: int = 0
    """Inputs that were drained one by one."""
    good_calls: int = 0
    """Good calls between them, which all got through."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of the tables after the last of them."""
    statuses: Counter[int] = field(default_factory=Counter)
    spent: list[float] = field(default_factory=list)
    """Processor seconds of each request; waiting for a busy core does not count."""
    outliers: list[tuple[float, str]] = field(default_factory=list)
    """The longest requests first, as (seconds, request)."""

    def count(self, status: int, spent: float, what: str) -> None:
        self.shots += 1
        self.statuses[status] += 1
        self.spent.append(spent)
        self.outliers = sorted([*self.outliers, (spent, what)], reverse=True)[:OUTLIERS]

    def summary(self) -> str:
        """Text with the distribution of times and the longest requests."""
        ordered = sorted(self.spent) or [0.0]
        shares = [(name, ordered[int(share * (len(ordered) - 1))]) for name, share in SHARES]
        lines = ["Processor time of a request: " + ", ".join(f"{name} {1000 * spent:.1f} ms" for name, spent in shares)]
        return "\n".join(lines + [f"  {1000 * spent:8.1f} ms  {what}" for spent, what in self.outliers])


class Wrong(AssertionError):
    """The app gave an answer that it must never give."""


class _Errors(logging.Handler):
    """Collects the errors that the app logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


class FuzzTarget:
    """An installed portal, and the sessions and addresses that requests need."""

    def __init__(self, world: World) -> None:
        self.world, self.app, self.figures, self.errors = world, world.app, Figures(), _Errors()
        world.portal.limits.rate = 0
        world.install()
        self.hook = world.connect(DOCUMENT, {"moscow": (KEY, SALT)})["moscow"].removeprefix(world.url)
        self.portal_id = world.portal_row()["id"]
        with self.app.app_context():
            self.member_id = db.session.get_one(Portal, self.portal_id).member_id
            db.session.rollback()

    def claim(self, kind: str) -> str:
        """A session made now: sessions end after five minutes, and a run may be longer."""
        with self.app.app_context():
            if kind == "frame":
                return session.issue(session.FrameSession(self.portal_id, self.member_id, 1, True, "en"))
            record, number = ("lead", 1), "+79160000001"
            claim = (self.portal_id, self.member_id, 1, "en", (record,), number, record)
            return session.issue_placement(session.PlacementSession(*claim))

    def fire(self, shot: Shot, *, is_bad: bool = True) -> int:
        """Send a request and judge the answer. Only bad inputs count in the figures.

        Raises:
            Wrong: the answer is wrong.
        """
        self.errors.messages.clear()
        spent = time.thread_time()
        status, headers, body = self._answer(shot)
        spent = time.thread_time() - spent
        if is_bad:
            self.figures.count(status, spent, f"{status} {shot.method} {shot.path[:60]!a}, {len(shot.body)} bytes")
        why = self._fault(status, headers, body, spent)
        if why:
            raise Wrong(f"{why}\n{shot}\n{self.errors.messages}")
        return status

    def _answer(self, shot: Shot) -> tuple[int, dict[str, str], bytes]:
        builder = EnvironBuilder(method=shot.method, input_stream=None, data=shot.body, content_type=shot.kind or None)
        for name, value in shot.headers:
            builder.headers.add(name, value)
        if shot.session:
            builder.headers[session.HEADER] = self.claim(shot.session)
        environ = builder.get_environ()
        builder.close()
        # As a WSGI server does: the path is unquoted and decoded as latin-1, the query is passed on unchanged.
        environ["PATH_INFO"] = unquote_to_bytes(shot.path.encode("utf-8", "surrogatepass")).decode("latin-1")
        environ["QUERY_STRING"] = shot.query.encode("utf-8", "surrogatepass").decode("latin-1")
        pieces, status, headers = run_wsgi_app(self.app.wsgi_app, environ, buffered=True)
        content = b"".join(pieces)
        return int(status.split()[0]), {name.lower(): value for name, value in headers}, content

    def _fault(self, status: int, headers: dict[str, str], body: bytes, spent: float) -> str:
        if status >= 500 and not (status == 503 and headers.get("x-error") == HELD_BY_THE_PORTAL):
            return f"status {status}"
        if b"Traceback (most recent call last)" in body:
            return "a traceback in the answer"
        if self.errors.messages:
            return "an error in the log"
        if headers.get("x-content-type-options") != "nosniff" or "referrer-policy" not in headers:
            return "headers are missing"
        if headers.get("content-type", "").startswith("text/html") and "content-security-policy" not in headers:
            return "a page without a policy"
        return "slow" if spent > SLOW_SECONDS else ""

    def judge_what_is_stored(self) -> None:
        """Check the stored data.

        Notifications are new, handled, or rejected with a reason, settings can be read, texts are valid, and a drain
        succeeds.
        """
        with self.app.app_context():
            assert db.session.query(Portal).count() == 1, "a request created a portal"
            for row in db.session.query(Notification):
                assert row.state in ("new", "handled") or row.reason, (row.state, row.name)
            portal = db.session.get_one(Portal, self.portal_id)
            assert portal.state == "active"
            portal.state = "paused"  # the drain decides everything and sends nothing
            db.session.commit()
            settings.current(portal)
            settings.export_yaml(portal, self.world.url)
            drain.drain(self.portal_id)
            assert not db.session.query(Notification).filter_by(state="new").count(), "the drain left a notification"
            for table in Base.metadata.sorted_tables:
                for row in db.session.execute(table.select()):
                    for value in row:
                        if isinstance(value, str):
                            value.encode()  # no lone surrogate
                            assert "\0" not in value, table
            db.session.rollback()
        assert not self.errors.messages, self.errors.messages


@contextmanager
def fuzz_target(folder: Path, redis_url: str, database_url: str = "") -> Iterator[FuzzTarget]:
    """A target with its own world; no worker runs. `database_url`: of PostgreSQL, else SQLite."""
    limits = {"hook_rate": 0, "address_rate": 0}
    with world(folder, redis_url, config_for, database_url=database_url, **limits) as running:
        target = FuzzTarget(running)
        root = logging.getLogger()
        level = root.level
        root.addHandler(target.errors)
        root.setLevel(logging.ERROR)  # the app warns about every refused request
        try:
            yield target
        finally:
            root.removeHandler(target.errors)
            root.setLevel(level)

