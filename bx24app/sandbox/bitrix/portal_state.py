"""The state of a portal in plain attributes, its addresses, and the watchers of its changes.

`Portal` extends `PortalState`. Tests and the REST methods read and write the attributes directly.
"""

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
from bx24app.sandbox.bitrix.work_seconds import Durations
from bx24app.sandbox.clock import Clock

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.oauth import OAuthServer

ChangeWatcher = Callable[[str, dict[str, Any]], None]
LOG_LENGTH = 20_000


class PortalState:
    """The state. It is used in the event loop of the sandbox only; other threads go through `Sandbox.call`.

    Attributes:
        latency: the seconds that each command takes; a batch takes the sum of its commands.
        latencies: exceptions from `latency` by method name, in lower case.
        keep_bytes: the portal stores recordings up to this size whole, larger ones only by size and hash.
        secure: whether the portal uses https in the addresses that it gives to applications (forms, events).
        watchers: called as `(what, details)` after every change of state that a screen would show.
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
        """The public name used in addresses in place of the https HOST. Clients have to resolve it to the sandbox."""
        self.registered_url = ""
        """Scheme and HOST that the OAuth server has for the portal, where they are not those of its pages. A box
        registers those of the request that came first (S: rest/lib/oauthservice.php, getRedirectUri)."""
        self.secure = False
        self.retired_ports: set[int] = set()
        """The ports of former domains, which answer 302 with the current domain."""
        self.mover: Callable[[], Any] | None = None
        """Moves the portal to a new domain. The server of the sandbox sets it."""
        self.deleted = False
        self.lang = "ru"
        self.license = "ru_basic"
        self.crm_mode = 1
        self.latency = 0.0
        self.latencies: dict[str, float] = {}
        self.keep_bytes = 32 << 20
        self.switches = Switches()
        self.limits = Limits()
        self.durations = Durations()
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
        """Missed calls that nobody has called back, by phone."""
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

    # --- names and addresses ---

    @property
    def domain(self) -> str:
        """HOST with its port, as the portal gives it to applications."""
        return self.host_name(self.secure)

    def host_name(self, secure: bool) -> str:
        """HOST with its port, for http or https."""
        return (self.tls_name or self.tls_host) if secure else self.host

    def base_url(self, secure: bool | None = None) -> str:
        """`http(s)://HOST`."""
        tls = self.secure if secure is None else secure
        return f"{'https' if tls else 'http'}://{self.host_name(tls)}"

    def registered_base(self, secure: bool) -> str:
        """`http(s)://HOST` in the answers of the OAuth server."""
        return self.registered_url or self.base_url(secure)

    @property
    def url(self) -> str:
        return self.base_url()

    @property
    def client_endpoint(self) -> str:
        return f"{self.base_url()}/rest/"

    def next_id(self, kind: str, first: int = 1) -> int:
        """The next id of a kind. Each kind has a counter of its own."""
        self._ids[kind] += 1
        return first - 1 + self._ids[kind]

    def now(self) -> float:
        return self.clock.now()

    # --- state by name ---

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
        """The lines of all applications, by number."""
        return {line.number: line for line in self.lines.values()}

    # --- watching ---

    def notify_watchers(self, what: str, **details: Any) -> None:
        """Reports a change to all watchers."""
        for watcher in list(self.watchers):
            watcher(what, details)

    def subscribe(self, limit: int = 1000) -> asyncio.Queue[tuple[str, dict[str, Any]]]:
        """A queue of changes for one screen, until `unsubscribe`. A full queue drops new changes."""
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
        """Records a request that the official tables do not allow, or that a real portal silently accepts."""
        self.violations.append(Violation(method, text, self.now()))
        self.notify_watchers("violation", method=method, text=text)

    @contextmanager
    def expect_violations(self) -> Iterator[list[Violation]]:
        """Collects the violations inside the block in the yielded list, so that they do not fail the test."""
        before, self.violations = self.violations, []
        try:
            yield self.violations
        finally:
            self.violations = before
