"""A portal as it looks after two weeks of work: two PBXs, employees, rules and calls of every kind.

Browser tests and the screenshots of the documentation use it: `demo_portal` gives a full portal, `new_demo_portal` an
installed portal without a PBX.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bx24app import settings
from bx24app.calls.statistics import aggregation
from bx24app.domain.settings import (
    CallSettings,
    EmployeeSettings,
    HoursBlock,
    LineResponsible,
    LineSettings,
    PbxSettings,
    Rule,
    Settings,
)
from bx24app.domain.settings import PortalSettings as PortalPart
from bx24app.models import Call, Portal, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.portals import lifecycle
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, User
from tests.conftest import KEY, SALT, config_for
from tests.support import demo_rows
from tests.support.demo_rows import ALLA, CLIENT, ILYA, NINA, ROMAN, SOFYA
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until, world

PEOPLE = {
    ALLA: ("Алла", "Белова", "101"),
    ILYA: ("Илья", "Дорохов", "102"),
    NINA: ("Нина", "Ершова", "103"),
    ROMAN: ("Роман", "Жуков", "201"),
    SOFYA: ("Софья", "Ильина", "202"),
}
WEEKDAYS = (HoursBlock.model_validate({"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00"}),)
DOCUMENT = Settings(
    portal=PortalPart(default_user_id=NINA, timezone="Europe/Moscow"),
    calls=CallSettings(answered="lead", missed="lead"),
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Москва",
            default_user_id=NINA,
            lines=(
                LineSettings(
                    number="74950000001",
                    name="Главная линия",
                    responsible=LineResponsible(users=(ALLA, ILYA)),
                    working_hours=WEEKDAYS,
                ),
                LineSettings(number="74950000002", name="Реклама", responsible=LineResponsible(users=(ILYA,))),
            ),
            employees=tuple(EmployeeSettings(extension=PEOPLE[user][2], user_id=user) for user in (ALLA, ILYA, NINA)),
        ),
        PbxSettings(
            key="krasnodar",
            name="Краснодар",
            lines=(LineSettings(number="78612345678", name="Юг", responsible=LineResponsible(users=(ROMAN,))),),
            employees=(EmployeeSettings(extension="201", user_id=ROMAN, numbers=("+79180000201",)),),
        ),
    ),
    rules=(
        Rule(
            name="Реклама: сделка",
            when={"line": "74950000002", "direction": "in", "client": "new"},
            do=({"create": {"entity": "deal", "title": "Реклама: {{ client.number }}", "responsible": "line"}},),
        ),
        Rule(
            name="Пропущенный вечером",
            when={"outcome": "missed", "hours": "off"},
            do=({"todo": {"deadline_minutes": 60, "working": True, "responsible": "owner"}},),
        ),
        Rule(
            name="Известный клиент",
            when={"client": "known", "direction": "in"},
            do=({"comment": {"text": "Звонил {{ client.name }}"}},),
        ),
    ),
)


class DemoPortal:
    """Fills a `World` with demo data. `known`: ids of what it created, by name, such as call, contact, deal and
    portal."""

    def __init__(self, earth: World) -> None:
        self.earth = earth
        self.known: dict[str, Any] = {}
        self.hooks: dict[str, str] = {}

    def add_people(self) -> None:
        def add_users() -> None:
            for number, (name, last, extension) in PEOPLE.items():
                email = f"{number}@firma.example"
                self.earth.portal.users[number] = User(number, name, last, email, uf_phone_inner=extension)

        self.earth.sandbox.call(add_users)

    def connect(self) -> None:
        """Connect both PBXs. The settings are saved in three versions, so that there is a history."""

        def add_pbxs() -> None:
            moscow = self.earth.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Москва").pbx
            for line, name in (("74950000001", "Главная"), ("74950000002", "Реклама")):
                moscow.add_line(line, name=name)
            for extension, name in (
                ("101", "Алла Белова"),
                ("102", "Илья Дорохов"),
                ("103", "Нина Ершова"),
                ("104", "Софья Ильина"),
                ("105", "Склад"),
            ):
                moscow.add_employee(extension, name, email=f"{extension}@firma.example")
            self.earth.mango.add_pbx(api_key="k" * 32, api_salt="s" * 32, name="Краснодар").pbx.add_line("78612345678")

        self.earth.sandbox.call(add_pbxs)
        keys = {"moscow": (KEY, SALT), "krasnodar": ("k" * 32, "s" * 32)}
        first = DOCUMENT.model_copy(update={"rules": DOCUMENT.rules[:1], "pbxs": DOCUMENT.pbxs[:1]})
        second = DOCUMENT.model_copy(update={"rules": DOCUMENT.rules[:2]})
        with self.earth.app.app_context():
            portal_id = self.earth.portal_row()["id"]
            for document, note in (
                (first, "АТС подключена"),
                (second, "Краснодар подключён"),
                (DOCUMENT, "Правила изменены"),
            ):
                version_keys = {key: keys[key] for key in document.by_key}
                settings.save_version(
                    db.session.get_one(Portal, portal_id), document, version_keys, author=1, source="frame", note=note
                )
                db.session.commit()
            lifecycle.queue_line_sync(portal_id)
            db.session.remove()
        self.hooks = self.earth.connect(DOCUMENT, keys)
        self.known["portal"] = portal_id

    def connect_first_pbx(self) -> None:
        """Connect the first PBX as the form saves it: no responsible users, no mapping, no notification yet."""

        def add_pbx() -> None:
            moscow = self.earth.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Москва").pbx
            moscow.add_line("74950000001", name="Главная")
            for user in (ALLA, ILYA, NINA):
                name, last, extension = PEOPLE[user]
                moscow.add_employee(extension, f"{name} {last}", email=f"{user}@firma.example")

        self.earth.sandbox.call(add_pbx)
        pbx = PbxSettings(key="moscow", name="Москва", lines=(LineSettings(number="74950000001", name="Главная"),))
        self.hooks = self.earth.connect(
            Settings(portal=PortalPart(default_user_id=1), pbxs=(pbx,)), {"moscow": (KEY, SALT)}
        )

    def ring(self) -> ReplayedCall:
        """Start a known client's call that is answered and does not end, so its card stays on the screen."""
        call = as_new_call(Scenario(FIXTURES / "incoming_answered_by_group"), CLIENT)
        for notice in call.notices[:6]:
            assert post(self.hooks["moscow"], notice) == 200
        self.earth.settle_quietly()
        return call

    def add_clients(self) -> None:
        def add_records() -> None:
            crm = self.earth.portal.crm
            phone = [{"typeId": "PHONE", "value": CLIENT}]
            named = {"name": "Пётр", "lastName": "Смирнов", "title": "Пётр Смирнов", "assignedById": ALLA}
            contact = crm.add_record(CONTACT, named, phone)
            self.known["contact"] = int(contact.id)
            self.known["company"] = int(
                crm.add_record(COMPANY, {"title": "ООО «Ромашка»", "assignedById": ALLA}, phone).id
            )
            self.known["lead"] = int(crm.add_record(LEAD, {"title": "Заявка с сайта", "assignedById": ILYA}, phone).id)
            deal = {"title": "Поставка окон", "contactIds": [contact.id], "assignedById": ALLA}
            self.known["deal"] = int(crm.add_record(DEAL, deal, []).id)

        self.earth.sandbox.call(add_records)

    def talk(self, name: str, client: str | None = None, ago: int = 0) -> ReplayedCall:
        """Play a scenario's call through the whole program, from the notification to the portal."""
        call = as_new_call(Scenario(FIXTURES / name), client, ago)
        self.earth.sandbox.call(absorb, self.earth.mango, call.notices)
        for notice in call.notices:
            assert post(self.hooks["moscow"], notice) == 200
        self.earth.settle(90)
        return call

    def add_past_calls(self) -> None:
        """Write the calls of the past weeks directly into the tables."""
        with self.earth.app.app_context():
            pbxs = {row.key: row for row in db.session.scalars(db.select(PbxRow))}
            for row in pbxs.values():
                row.last_notification_at = utcnow() - timedelta(minutes=2)
            version = db.session.get_one(Portal, self.known["portal"]).settings_version_id
            for number in range(150):
                db.session.add(demo_rows.past_call(number, self.known, pbxs, version or 0))
            db.session.flush()
            demo_rows.add_recordings(self.known["portal"])
            demo_rows.add_failures(self.known["portal"], pbxs["moscow"].id)
            db.session.commit()
            aggregation.refresh_counts()
            newest = db.session.scalars(
                db.select(Call).where(Call.rule.is_not(None), Call.facts != {}).order_by(Call.id)
            ).first()
            self.known["call"] = newest.id if newest is not None else db.session.scalars(db.select(Call.id)).first()
            db.session.remove()


@contextmanager
def new_demo_portal(place: Path, redis_url: str) -> Iterator[DemoPortal]:
    """The same portal in its first minutes: installed, without a PBX. `connect_first_pbx` adds one."""
    with world(place, redis_url, config_for, pages=True) as earth:
        earth.portal.limits.rate = 0
        demo = DemoPortal(earth)
        demo.add_people()
        earth.work(calls=1, recordings=1)
        earth.install()
        until(lambda: _known_people(earth), "the app did not read the portal's users")
        yield demo


@contextmanager
def demo_portal(place: Path, redis_url: str) -> Iterator[DemoPortal]:
    """A portal with all demo data. Workers run, so a further call reaches the portal."""
    with world(place, redis_url, config_for, pages=True, quiet_seconds=2) as earth:
        earth.portal.limits.rate = 0
        demo = DemoPortal(earth)
        demo.add_people()
        earth.work(calls=2, recordings=1)
        earth.install()
        until(lambda: _known_people(earth), "the app did not read the portal's users")
        demo.add_clients()
        demo.connect()
        demo.add_past_calls()
        demo.talk("incoming_answered_by_group", CLIENT, ago=900)
        demo.talk("incoming_missed_as_activity", ago=400)
        transferred = demo.talk("transfer_blind_by_api", ago=60)
        until(lambda: not earth.pending(), "a recording was not attached", 60)
        with earth.app.app_context():
            demo.known["call"] = db.session.scalars(
                db.select(Call.id).where(Call.entry_id == transferred.entry_id)
            ).one()
            aggregation.refresh_counts()
            db.session.remove()
        yield demo


def _known_people(earth: World) -> bool:
    with earth.app.app_context():
        users = set(db.session.scalars(db.select(PortalUser.user_id)))
        db.session.remove()
        return PEOPLE.keys() <= users
