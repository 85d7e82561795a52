"""A ready-made world to look at: the company "Romashka" with its portal, and its three offices' PBXs.

`build` makes it, `serve` runs it until it is stopped. Numbers are invented; `+7 495 123-45-67` and the like ring nowhere.
"""

from __future__ import annotations

import asyncio
import signal

from bx24app.sandbox.bitrix.clicks import NoLine
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import Category, Status, User
from bx24app.sandbox.mango import Board, MangoCloud, Pbx
from bx24app.sandbox.mango.board import ClickHandler
from bx24app.sandbox.pages import pbx as pbx_page
from bx24app.sandbox.pages.portal import NeighbourSites, PortalPages
from bx24app.sandbox.server import Sandbox

CLIENT_ID, CLIENT_SECRET = "local.demo0000000000.00000001", "demo-secret-of-the-sandbox-application"
"""The application's registration in the portal; a demo of the product is started with this pair."""

# id, first name, last name, position, inner number, mobile, administrator
STAFF = (
    (1, "Анна", "Орлова", "Менеджер, Москва", "101", "+79160000101", True),
    (8, "Борис", "Котов", "Менеджер, Москва", "102", "+79160000102", False),
    (12, "Мария", "Соколова", "Директор", "", "+79160000001", True),
    (15, "Вера", "Линь", "Менеджер, Москва", "103", "+79160000103", False),
    (21, "Глеб", "Южный", "Менеджер, Краснодар", "201", "+79180000201", False),
    (22, "Дина", "Кубань", "Менеджер, Краснодар", "202", "+79180000202", False),
    (31, "Егор", "Сибиряк", "Менеджер, Новосибирск", "301", "+79130000301", False),
    (32, "Жанна", "Обская", "Менеджер, Новосибирск", "", "+79130000302", False),
)
# name, line, its name, extension of the group, employees as (extension, id at the portal or name)
OFFICES = (
    ("Москва", "74951234567", "Москва", "300", (("101", 1), ("102", 8), ("103", 15))),
    ("Краснодар", "78612345678", "Краснодар", "300", (("101", 21), ("102", 22))),
    ("Новосибирск", "73832345678", "Новосибирск", "300", (("101", 31), ("102", 32), ("103", "Зоя Новая"))),
)
CLIENTS = (
    ("Пётр Иванов", "+79161234567", 1),
    ("Ольга Смирнова", "+79035550101", 8),
    ("ООО «Вектор», Ильин", "+74995550142", 21),
)
UNKNOWN_CALLER = ("79265550177", "nobody knows this number")


def build_world(
    host: str = "127.0.0.1",
    portal_port: int = 0,
    oauth_port: int = 0,
    pbx_port: int = 0,
    app_url: str = "http://127.0.0.1:8000",
    *,
    start_url: str | None = None,
) -> tuple[Sandbox, MangoCloud]:
    """The world, not yet running: `sandbox.start()` for a thread, `await sandbox.serve()` for the foreground.

    Args:
        app_url: the application's public address; its handler is `<app_url>/`, its installation page `<app_url>/install`.
        start_url: hook address that all three PBXs have from the beginning (tests); default none.
    """
    sandbox = Sandbox(1, host, oauth_port, portal_port)
    _fill_portal(sandbox.portal)
    base = app_url.rstrip("/")
    sandbox.register_application(
        CLIENT_ID, CLIENT_SECRET, f"{base}/", f"{base}/install", kind="local", name="Mango Office"
    )
    cloud = MangoCloud()
    for number, office in enumerate(OFFICES):
        board = _add_office(cloud, number, start_url or "", *office)
        board.portal_click = _make_click(sandbox.portal, dict(office[4]))
    neighbours = NeighbourSites()
    pages = PortalPages(sandbox.portal, neighbours)
    sandbox.extend.append(lambda portal, app: pages.add_routes(app) if portal is sandbox.portal else None)
    known = [(phone.lstrip("+"), name) for name, phone, _ in CLIENTS] + [UNKNOWN_CALLER]
    clients = pbx_page.ClientNumbers(known[-1:] + known[:-1])
    cloud.attach_to(sandbox, port=pbx_port, extend=lambda app: pbx_page.add_page(app, cloud, clients))

    def set_addresses() -> None:
        neighbours.pbx_url, clients.portal_url = f"{cloud.url}/", f"{sandbox.portal.url}/"

    sandbox.on_start.append(set_addresses)
    return sandbox, cloud


def _fill_portal(portal: Portal) -> None:
    portal.users.clear()
    for number, name, last_name, position, inner, mobile, admin in STAFF:
        portal.users[number] = User(
            number, name, last_name, f"user{number}@romashka.example", admin=admin, uf_phone_inner=inner,
            personal_mobile=mobile, work_position=position,
        )  # fmt: skip
    _add_pipeline(portal)
    for name, phone, assigned in CLIENTS:
        first, _, last = name.partition(" ")
        portal.add_contact(first, phone, assigned=assigned, lastName=last)
    first_client = next(iter(portal.contacts))
    portal.add_deal("Букеты для офиса", contact=first_client, assigned=1, stageId="PREPARATION", opportunity=48000)
    portal.add_lead("Заявка с сайта", "+79165550188", assigned=8, sourceId="WEB")


def _add_pipeline(portal: Portal) -> None:
    """A second pipeline of deals, unless the portal has one."""
    if any(one.type_id == 2 and one.id for one in portal.categories):
        return
    portal.categories.append(Category(9, 2, "Пропущенные", 200))
    for number, (code, name) in enumerate((("NEW", "Новая"), ("WON", "Перезвонили"), ("LOSE", "Не дозвонились"))):
        semantics = {"WON": "S", "LOSE": "F"}.get(code)
        portal.statuses.append(Status(900 + number, "DEAL_STAGE_9", f"C9:{code}", name, number * 10, semantics, 9))


def _add_office(
    cloud: MangoCloud, number: int, hook_url: str, name: str, line: str, line_name: str, group: str,
    people: tuple[tuple[str, int | str], ...],
) -> Board:  # fmt: skip
    board = cloud.add_pbx(
        Pbx(
            name=name, product_id=400000001 + number, client_id=10000001 + number, hook_url=hook_url,
            api_key=f"demokey{number}" + "a1b2c3d4e" * 2 + "f5g6h7", api_salt=f"demosalt{number}" + "z9y8x7w6v" * 2 + "u5t4s",
        )
    )  # fmt: skip
    staff = {row[0]: row for row in STAFF}
    for extension, who in people:
        if isinstance(who, int):
            _, first, last, _, _, mobile, _ = staff[who]
            board.pbx.add_employee(
                extension, f"{first} {last}", email=f"user{who}@romashka.example", mobile=mobile.lstrip("+")
            )
        else:  # somebody whom the portal does not know
            board.pbx.add_employee(extension, who, email="new@romashka.example")
    board.pbx.add_line(line, line_name, leads_to=group)
    board.pbx.add_group(group, "Все операторы", [extension for extension, _ in people])
    return board


def _make_click(portal: Portal, people: dict[str, int | str]) -> ClickHandler:
    """Somebody of this office clicks on a number in the portal, for a line where the portal knows it."""

    def click_number(extension: str, number: str, line: str) -> None:
        user = people.get(extension)
        if not isinstance(user, int):
            raise ValueError(f"{user or extension} is no employee of the portal")
        known = any(one.number == line for one in portal.lines.values())
        try:
            portal.click_to_call(user, f"+{number}", line if known else None)
        except NoLine as error:
            raise ValueError(f"{error}: install the application first") from error

    return click_number


def site_addresses(sandbox: Sandbox, cloud: MangoCloud) -> dict[str, str]:
    """Where everything is, once it runs."""
    return {
        "portal": f"{sandbox.portal.url}/",
        "pbx": f"{cloud.url}/",
        "oauth": sandbox.oauth.url,
        "mango_api": cloud.api_url,
    }


def ready_line(sandbox: Sandbox, cloud: MangoCloud) -> str:
    """One line for whoever waits: `sandbox ready portal=… pbx=… oauth=… mango_api=…`."""
    return "sandbox ready " + " ".join(f"{name}={url}" for name, url in site_addresses(sandbox, cloud).items())


async def serve_world(
    host: str = "127.0.0.1",
    portal_port: int = 8001,
    oauth_port: int = 8003,
    pbx_port: int = 8002,
    app_url: str = "http://127.0.0.1:8000",
) -> None:
    """Runs the world in the foreground until SIGINT or SIGTERM; prints the readiness line when all sites listen."""
    sandbox, cloud = build_world(host, portal_port, oauth_port, pbx_port, app_url)
    sandbox.on_start.append(lambda: print(ready_line(sandbox, cloud), flush=True))
    work = asyncio.create_task(sandbox.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        print("sandbox stopped", flush=True)
