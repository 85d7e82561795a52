"""A portal's state, in plain attributes, and who watches it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix import seed
from bx24app.sandbox.bitrix.crm import CrmStore
from bx24app.sandbox.bitrix.limits import Limits
from bx24app.sandbox.bitrix.state import (
    COMPANY,
    CONTACT,
    DEAL,
    LEAD,
    TODO_PROVIDER,
    Activity,
    Card,
    CardStep,
    Comment,
    DriveFile,
    EventBinding,
    InstalledApp,
    Line,
    LiveCall,
    LogEntry,
    Notification,
    Placement,
    Record,
    Statistic,
    User,
    Violation,
)
from bx24app.sandbox.bitrix.switches import Switches
from bx24app.sandbox.clock import Clock

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.oauth import OAuthServer

ChangeWatcher = Callable[[str, dict[str, Any]], None]
LOG_LENGTH = 20_000


class PortalState:
    """State in plain attributes; everything runs in the sandbox's loop (`Sandbox.call` is the door from other threads).

    Attributes:
        latency: seconds that each command costs (a batch: the sum of its commands); `latencies` by method name, in lower case.
        keep_bytes: recordings up to this size are kept whole, larger ones only by size and hash.
        secure: addresses that the portal gives away (forms, events) are https ones.
        changed: called as `(what, details)` after every change of state that a screen would show.
    """

    def __init__(self, number: int, oauth: OAuthServer, clock: Clock) -> None:
        self.number = number
        self.oauth = oauth
        self.clock = clock
        self.member_id = hashlib.md5(f"sandbox portal {number}".encode(), usedforsecurity=False).hexdigest()
        self.secret = secrets.token_hex(16)
        self.host = ""
        self.tls_host = ""
        self.tls_name = ""
        """A public name to give away instead of the https HOST (clients lead it here themselves)."""
        self.secure = False
        self.retired_ports: set[int] = set()
        """Ports of former domains: they answer 302 to the present one."""
        self.mover: Callable[[], Any] | None = None
        """Gives the portal a new domain (set by the sandbox's server)."""
        self.deleted = False
        self.lang = "ru"
        self.license = "ru_basic"
        self.crm_mode = 1
        self.latency = 0.0
        self.latencies: dict[str, float] = {}
        self.keep_bytes = 32 << 20
        self.switches = Switches()
        self.limits = Limits()
        self._init_people()
        self._init_telephony()
        self._init_applications()
        self._init_records()

    def _init_people(self) -> None:
        self.users: dict[int, User] = seed.make_users()
        self.departments = seed.make_departments()
        self.categories = seed.make_categories()
        self.statuses = seed.make_statuses()
        self.types = seed.make_types()

    def _init_telephony(self) -> None:
        self.calls: dict[str, LiveCall] = {}
        self.live_by_key: defaultdict[tuple[int, int, str, int], list[LiveCall]] = defaultdict(list)
        """Unfinished calls by application, user, phone and type."""
        self.statistics: dict[int, Statistic] = {}
        self.by_call: dict[str, Statistic] = {}
        self.by_external: defaultdict[str, list[Statistic]] = defaultdict(list)
        self.missed_calls: defaultdict[str, list[Statistic]] = defaultdict(list)
        """Missed calls by phone that nobody has called back."""
        self.cards: defaultdict[int, dict[str, Card]] = defaultdict(dict)
        self.card_history: list[CardStep] = []
        self.lines: dict[int, Line] = {}
        self.outgoing_line: str = ""
        self.user_lines: dict[int, str] = {}
        self.files: dict[int, DriveFile] = {}
        self.file_names: set[tuple[str, str]] = set()

    def _init_applications(self) -> None:
        self.apps: dict[str, InstalledApp] = {}
        self.event_bindings: dict[int, EventBinding] = {}
        self.placements: list[Placement] = []

    def _init_records(self) -> None:
        self.crm = CrmStore()
        self.activities: dict[int, Activity] = {}
        self.by_origin: dict[str, Activity] = {}
        self.activity_ids_by_record: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self.comments: dict[int, Comment] = {}
        self.notifications: dict[int, Notification] = {}
        self.tasks: list[dict[str, Any]] = []
        self.request_log: deque[LogEntry] = deque(maxlen=LOG_LENGTH)
        self.hits = 0
        self.commands: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.watchers: list[ChangeWatcher] = []
        self._queues: dict[int, ChangeWatcher] = {}
        self._ids: Counter[str] = Counter()

    # --- names and addresses -------------------------------------------------------------------------------------------

    @property
    def domain(self) -> str:
        """HOST as the portal names itself (with its port)."""
        return self.host_name(self.secure)

    def host_name(self, secure: bool) -> str:
        """HOST under http or https."""
        return (self.tls_name or self.tls_host) if secure else self.host

    def base_url(self, secure: bool | None = None) -> str:
        """`http(s)://HOST`."""
        tls = self.secure if secure is None else secure
        return f"{'https' if tls else 'http'}://{self.host_name(tls)}"

    @property
    def url(self) -> str:
        return self.base_url()

    @property
    def client_endpoint(self) -> str:
        return f"{self.base_url()}/rest/"

    def next_id(self, kind: str, first: int = 1) -> int:
        """A new id; kinds count by themselves."""
        self._ids[kind] += 1
        return first - 1 + self._ids[kind]

    def now(self) -> float:
        return self.clock.now()

    # --- state by name -------------------------------------------------------------------------------------------------

    @property
    def leads(self) -> dict[int, Record]:
        return self.crm.records[LEAD]

    @property
    def deals(self) -> dict[int, Record]:
        return self.crm.records[DEAL]

    @property
    def contacts(self) -> dict[int, Record]:
        return self.crm.records[CONTACT]

    @property
    def companies(self) -> dict[int, Record]:
        return self.crm.records[COMPANY]

    @property
    def items(self) -> dict[int, dict[int, Record]]:
        """Items of smart processes by entityTypeId."""
        return {type_id: rows for type_id, rows in self.crm.records.items() if type_id > COMPANY}

    @property
    def todos(self) -> dict[int, Activity]:
        return {key: todo for key, todo in self.activities.items() if todo.provider_id == TODO_PROVIDER}

    @property
    def external_lines(self) -> dict[str, Line]:
        """Lines by number (of all applications)."""
        return {line.number: line for line in self.lines.values()}

    # --- watching ------------------------------------------------------------------------------------------------------

    def notify_watchers(self, what: str, **details: Any) -> None:
        """Tells watchers that something changed."""
        for watcher in list(self.watchers):
            watcher(what, details)

    def subscribe(self, limit: int = 1000) -> asyncio.Queue[tuple[str, dict[str, Any]]]:
        """A queue of changes for one screen; a screen that does not read loses the newest. End it with `unsubscribe`."""
        queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(limit)

        def put_change(what: str, details: dict[str, Any]) -> None:
            if not queue.full():
                queue.put_nowait((what, details))

        self.watchers.append(put_change)
        self._queues[id(queue)] = put_change
        return queue

    def unsubscribe(self, queue: asyncio.Queue[tuple[str, dict[str, Any]]]) -> None:
        self.watchers.remove(self._queues.pop(id(queue)))

    def add_violation(self, method: str, text: str) -> None:
        """Notes a request that breaks the official tables."""
        self.violations.append(Violation(method, text, self.now()))
        self.notify_watchers("violation", method=method, text=text)

    @contextmanager
    def expect_violations(self) -> Iterator[list[Violation]]:
        """Violations inside the block are handed to it instead of failing the test."""
        before, self.violations = self.violations, []
        try:
            yield self.violations
        finally:
            self.violations = before
