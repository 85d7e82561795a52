"""What the matrix test is made of: two portals full of marked things, the people who try, every parameter, and a
request class that notes which parameters the program reads.

Each thing has a word that stands in its rows and is never sent, so that a page which shows the word shows the thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from werkzeug.datastructures import ImmutableMultiDict

from bx24app import settings
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Notify
from bx24app.domain.settings import Settings
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.portals.clients import BudgetCache
from bx24app.sandbox.bitrix.state import LEAD
from bx24app.web.base import session
from bx24app.web.base.request import BoundedRequest
from tests.conftest import DOCUMENT, config_for
from tests.support.installations import installed
from tests.support.stack import World, world

ALIEN_DOCUMENT = DOCUMENT.model_copy(
    update={"pbxs": (DOCUMENT.pbxs[0].model_copy(update={"key": "alien", "name": "Zqalien office"}),)}
)
KINDS: dict[str, str] = {
    "record": "CRM_ENTITY_ID ID",
    "entity": "CRM_ENTITY_TYPE",
    "number": "q PHONE_NUMBER number data[PHONE_NUMBER] json sign",
    "call": "call before with call_id",
    "bitrix_call": "CALL_ID data[CALL_ID]",
    "row": "op",
    "rule": "token rule",
    "cursor": "below",
    "pbx": "key confirm pbx shown line-#-pbx",
    "user": "employee default_user_id line-#-users row-#-user",
    "line": "line line-#-number line-#-line_number line-#-name number-# line-#-used",
    "ticket": "ticket",
    "text": "name anyway api_key api_salt dialects preset category_id part text file unmapped fresh list whole last "
    "records from to period by since until direction outcome problems version missed hidden_number card answered "
    "internal_calls timezone outgoing min_seconds transfer_responsible attach m-new-off-make m-new-working-make "
    "m-known-working-make m-known-off-make r#-json r#-open r#-name r#-do",
    "proof": "AUTH_ID REFRESH_ID AUTH_EXPIRES member_id DOMAIN LANG APP_SID PROTOCOL SERVER_ENDPOINT APPLICATION_TOKEN "
    "APPLICATION_SCOPE PLACEMENT PLACEMENT_OPTIONS frame_session code state server_domain event lang ts vpbx_api_key "
    "auth[member_id] auth[application_token]",
}
"""What a parameter names -> parameters. Digits within a name are written #. A parameter that a route reads and that
does not stand here fails the matrix: say what it names, and `Thing.value` gives it somebody else's.
"""
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
RULE_FIELD = "r#-"
"""What such parameters begin with: the content of a rule, which names nothing."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A call with recording, refused step and CRM record of one person. `word`: stands in what is stored of it."""

    word: str
    portal: int
    user_id: int
    number: str
    record: int
    call: int
    recording: int
    notification: int
    pbx: str

    def value(self, kind: str) -> str:
        """What a parameter of this kind contains to name this thing."""
        return {
            "record": str(self.record), "entity": "LEAD", "number": self.number, "call": str(self.call),
            "bitrix_call": f"externalCall.{self.number}", "row": str(self.notification), "user": str(self.user_id),
            "rule": "r1", "cursor": f"2099-01-01T00:00:00+00:00_{self.call}", "pbx": self.pbx, "line": self.number,
        }.get(kind, "1")  # fmt: skip

    def path_values(self) -> dict[str, Any]:
        """What the parts of an address contain to name this thing."""
        return {
            "call_id": self.call, "recording_id": self.recording, "row_id": self.notification, "key": self.pbx,
            "number": 1, "entity": "lead", "form": "jsonl", "whose": "all", "kind": "rejected",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Who tries. `portal` None: nobody, without session and token; `sees_calls`, `sees_records`: words of the journal
    and of tabs.
    """

    name: str
    portal: int | None
    user_id: int
    is_admin: bool
    sees_calls: frozenset[str]
    sees_records: frozenset[str]


class _Noting(ImmutableMultiDict[str, str]):
    """Notes the names that are looked up."""

    names: ClassVar[set[str]] = set()

    def get(self, key: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.names.add(key)
        return super().get(key, *args, **kwargs)

    def getlist(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.names.add(key)
        return super().getlist(key, *args, **kwargs)

    def __getitem__(self, key: str) -> Any:
        self.names.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)


class NotingRequest(BoundedRequest):
    """A request whose query and form note the names that the program looks up."""

    parameter_storage_class = _Noting  # type: ignore[assignment]


@contextmanager
def noted_names() -> Iterator[set[str]]:
    """The names that are looked up inside the block, with # for digits."""
    _Noting.names.clear()
    names: set[str] = set()
    yield names
    names |= {re.sub(r"\d+", "#", name) for name in _Noting.names}


def unknown_names(names: set[str]) -> set[str]:
    """Those that nobody has said what they name."""
    return {name for name in names if name not in KIND_OF and not name.startswith(RULE_FIELD)}


def literal_names() -> set[str]:
    """Parameters that stand as texts where the web edge reads forms, queries and options."""
    package = Path(__file__).resolve().parents[2] / "bx24app"
    files = [*package.joinpath("web").rglob("*.py"), package / "bitrix24/inbound.py"]
    files.append(package / "calls/journal/search.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    read = r"""\b(?:form|args|values|files|posted|query|params|options)\.(?:get|getlist)\(\s*['"]([^'"]+)['"]"""
    inside = r"""['"](\w+)['"] (?:not )?in request\.(?:args|values|form)"""
    given = r"""get_param\(['"](\w+)['"]"""
    return {name for pattern in (read, inside, given) for name in re.findall(pattern, source)}


@dataclass
class Estate:
    """Both portals, with everything in them. `ids`: our ids of the portals."""

    world: World
    things: dict[str, Thing] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)

    @property
    def people(self) -> list[Person]:
        everything = frozenset({"Zqanna", "Zqboris", "Zqboss"})
        anna, boris, alien = frozenset({"Zqanna"}), frozenset({"Zqboris"}), frozenset({"Zqalien"})
        return [
            Person("administrator", 0, 1, True, everything, everything),
            Person("employee, own records", 0, 12, False, anna, anna),
            Person("employee, all records", 0, 13, False, boris, everything),
            Person("administrator of another portal", 1, 1, True, alien, alien),
            Person("nobody", None, 0, False, frozenset(), frozenset()),
        ]

    def frame_headers(self, person: Person) -> dict[str, str]:
        """The header of this person's page; nobody has a forged one."""
        if person.portal is None:
            return {session.HEADER: "e30.forged.claim"}
        member_id = self.world.sandbox.portals[person.portal].member_id
        with self.world.app.app_context():
            claim = session.FrameSession(self.ids[person.portal], member_id, person.user_id, person.is_admin, "en")
            return {session.HEADER: session.issue(claim)}

    def token_fields(self, person: Person, **options: Any) -> tuple[str, dict[str, str]]:
        """Query and fields that the person's portal posts when they open something."""
        portal = self.world.sandbox.portals[person.portal or 0]
        form = self.world.sandbox.call(
            portal.open_form, person.user_id or 1, self.world.application, "CALL_CARD", options
        )
        fields = dict(form.fields) | ({"AUTH_ID": "forged"} if person.portal is None else {})
        return form.url.partition("?")[2], fields


@contextmanager
def estate(tmp_path: Path, valkey_url: str) -> Iterator[Estate]:
    """Two portals with the things of three people, and of one in the other portal."""
    with world(tmp_path, valkey_url, config_for, portals=2) as running:
        running.app.request_class = NotingRequest
        result = Estate(running)
        for portal in running.sandbox.portals:
            portal.limits.rate = 0
            portal.add_user(12, "Anna")
            portal.add_user(13, "Boris")
            portal.users[12].rights["others"] = False
        with running.app.app_context():
            result.ids = [installed(running, number=number) for number in (0, 1)]
            _save(result.ids[0], DOCUMENT)
            _save(result.ids[1], ALIEN_DOCUMENT)
            people = (("anna", 0, 12), ("boris", 0, 13), ("boss", 0, 1), ("alien", 1, 12))
            for index, (name, portal_number, user_id) in enumerate(people, start=1):
                number = f"+7916000000{index}"
                result.things[name] = _add_thing(result, f"Zq{name}", portal_number, user_id, number)
        yield result


def _save(portal_id: int, document: Settings) -> None:
    portal = db.session.get_one(Portal, portal_id)
    portal.license = "selfhosted"  # a budget for many requests
    runtime().get(BudgetCache).pop(portal_id, None)
    settings.save_version(portal, document, {document.pbxs[0].key: ("key", "salt")})
    db.session.commit()


def _add_thing(where: Estate, word: str, portal: int, user_id: int, number: str) -> Thing:
    portal_id, sandbox = where.ids[portal], where.world.sandbox
    fields = {"title": "Client", "assignedById": user_id}
    phones = [{"typeId": "PHONE", "value": number}]
    record = sandbox.call(sandbox.portals[portal].crm.add_record, LEAD, fields, phones).id
    pbx = db.session.query(PbxRow).filter_by(portal_id=portal_id).one()
    call = Call(
        portal_id=portal_id, pbx_id=pbx.id, pbx_key=pbx.key, entry_id=f"entry-{number}", started_at=utcnow(),
        state="finished", outcome="answered", client_number=number, direction="in", line_number="74950000001",
        rule=f"{word} rule", problem=f"{word} problem", user_id=user_id, users=[user_id],
        bitrix_call_id=f"externalCall.{number}", crm=[{"entity": "lead", "id": record, "created": True}],
    )  # fmt: skip
    db.session.add(call)
    db.session.flush()
    notice = to_json(Notify(key="k", user_id=user_id, text=f"{word} text"))
    rows = (
        Delivery(
            portal_id=portal_id, call_id=call.id, key="k", kind="Notify", command=notice, state="dead", reason=word
        ),
        Recording(portal_id=portal_id, call_id=call.id, recording_id=f"r{number}", state="attached", problem=word),
        Notification(
            portal_id=portal_id, pbx_id=pbx.id, dialect="vpbx", name="events/call", entry_id=call.entry_id,
            dedup_key=word, body=f'{{"name": "{word}"}}', state="rejected", reason=word,
        ),
    )  # fmt: skip
    db.session.add_all(rows)
    db.session.flush()
    ids = (int(record), call.id, rows[1].id, rows[2].id)
    db.session.commit()
    return Thing(word, portal, user_id, number, *ids, pbx.key)
