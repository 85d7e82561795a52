"""The world of the demo: the company "Romashka" with its portal, and the PBXs of its three offices.

`build_world` prepares it for tests, `serve_world` runs it in the foreground. All names and numbers are invented.
"""

from __future__ import annotations

import asyncio
import signal

from bx24app.sandbox.bitrix.clicks import NoLine
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import DEAL, Category, Status, User
from bx24app.sandbox.mango import Board, MangoCloud, Pbx
from bx24app.sandbox.mango.board import ClickHandler
from bx24app.sandbox.pages import pbx as pbx_page
from bx24app.sandbox.pages.portal import NeighbourSites, PortalPages
from bx24app.sandbox.server import Sandbox

CLIENT_ID, CLIENT_SECRET = "local.demo0000000000.00000001", "demo-secret-of-the-sandbox-application"
"""The application's registration in the portal. The demo starts the app with this pair."""

# id, first name, last name, position, extension, mobile, administrator
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
# name, line, its name, extension of the group, employees as (extension, user id or a name that is not a user's)
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
UNKNOWN_CALLER = ("79265550177", "unknown number")


def build_world(
    host: str = "127.0.0.1",
    portal_port: int = 0,
    oauth_port: int = 0,
    pbx_port: int = 0,
    app_url: str = "http://127.0.0.1:8000",
    *,
    start_url: str | None = None,
) -> tuple[Sandbox, MangoCloud]:
    """Builds the world without starting it. Start it with `sandbox.start()` (in a thread) or `await sandbox.serve()`.

    Args:
        app_url: the application's public address: its handler is `<app_url>/`, its installation page
            `<app_url>/install`.
        start_url: hook address that all three PBXs have from the start (for tests); by default they have none.
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
    """Adds a second pipeline of deals, unless the portal has one."""
    if any(category.type_id == DEAL and category.id for category in portal.categories):
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
            api_key=f"demokey{number}" + "a1b2c3d4e" * 2 + "f5g6h7",
            api_salt=f"demosalt{number}" + "z9y8x7w6v" * 2 + "u5t4s",
        )
    )  # fmt: skip
    staff = {row[0]: row for row in STAFF}
    for extension, person in people:
        if isinstance(person, int):
            _, first, last, _, _, mobile, _ = staff[person]
            board.pbx.add_employee(
                extension, f"{first} {last}", email=f"user{person}@romashka.example", mobile=mobile.lstrip("+")
            )
        else:  # not a user of the portal
            board.pbx.add_employee(extension, person, email="new@romashka.example")
    board.pbx.add_line(line, line_name, leads_to=group)
    board.pbx.add_group(group, "Все операторы", [extension for extension, _ in people])
    return board


def _make_click(portal: Portal, people: dict[str, int | str]) -> ClickHandler:
    """The function with which an employee of this office clicks a number in the portal, on the line if the portal knows
    it.
    """

    def click_number(extension: str, number: str, line: str) -> None:
        user = people.get(extension)
        if not isinstance(user, int):
            raise ValueError(f"{user or extension} is not a user of the portal")
        is_known = any(known.number == line for known in portal.lines.values())
        try:
            portal.click_to_call(user, f"+{number}", line if is_known else None)
        except NoLine as error:
            raise ValueError(f"{error}: install the application first") from error

    return click_number


def site_addresses(sandbox: Sandbox, cloud: MangoCloud) -> dict[str, str]:
    """The addresses of all sites of a running world."""
    return {
        "portal": f"{sandbox.portal.url}/",
        "pbx": f"{cloud.url}/",
        "oauth": sandbox.oauth.url,
        "mango_api": cloud.api_url,
    }


def ready_line(sandbox: Sandbox, cloud: MangoCloud) -> str:
    """The line that tells other programs that the world runs: `sandbox ready portal=… pbx=… oauth=… mango_api=…`."""
    return "sandbox ready " + " ".join(f"{name}={url}" for name, url in site_addresses(sandbox, cloud).items())


async def serve_world(
    host: str = "127.0.0.1",
    portal_port: int = 8001,
    oauth_port: int = 8003,
    pbx_port: int = 8002,
    app_url: str = "http://127.0.0.1:8000",
) -> None:
    """Runs the world in the foreground until SIGINT or SIGTERM. Prints the readiness line when all sites listen."""
    sandbox, cloud = build_world(host, portal_port, oauth_port, pbx_port, app_url)
    sandbox.on_start.append(lambda: print(ready_line(sandbox, cloud), flush=True))
    task = asyncio.create_task(sandbox.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        print("sandbox stopped", flush=True)
