"""The pages of the simulated portal: start, CRM, telephony, the application's frame, and the sandbox's own page.

The addresses of records, lists and applications are those of a real portal, so links of the app work here too. There is
no login: a cookie names the user at the screen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, TYPE_NAMES, User
from bx24app.sandbox.live import ChangeStream
from bx24app.sandbox.pages import actions, backstage, frames, views
from bx24app.sandbox.pages.rendering import add_static, make_environment, render_template

COOKIE = "sandbox_user"
SHOWN_ROWS = 80
_MENU = (("lead", "Leads", "lead"), ("deal", "Deals", "deal"), ("contact", "Contacts", "contact"))
Handler = Callable[[web.Request, User], Awaitable[web.StreamResponse]]


@dataclass
class NeighbourSites:
    """Addresses of the other sites, for links."""

    pbx_url: str = ""


class PortalPages:
    """The pages of one portal. `name` is shown at the top left."""

    def __init__(self, portal: Portal, neighbours: NeighbourSites, name: str = "Romashka") -> None:
        self.portal = portal
        self.neighbours = neighbours
        self.name = name
        self.change_stream = ChangeStream()
        self.env = make_environment()
        portal.watchers.append(self.change_stream.notify_change)

    def add_routes(self, app: web.Application) -> None:
        """Adds the pages to the app of the portal's site."""
        router = app.router
        app.on_shutdown.append(self.change_stream.close_streams)
        for path, handler in (
            ("/", self.home_page),
            ("/marketplace/app/{client_id}/", self.application_page),
            ("/crm/type/{type}/list/", self.records_page),
            ("/crm/type/{type}/list/category/0/", self.records_page),
            ("/crm/{kind:lead|deal|contact|company}/list/", self.records_page),
            ("/crm/type/{type}/details/{id}/", self.details_page),
            ("/crm/{kind:lead|deal|contact|company}/details/{id}/", self.details_page),
            ("/company/personal/user/{id}/", self.home_page),
            ("/telephony/", self.telephony_page),
            ("/admin/", self.admin_page),
            ("/sandbox/cards", self.list_cards),
            ("/sandbox/pickable", self.list_pickable),
        ):
            router.add_get(path, self._with_user(handler))
        router.add_get("/sandbox/live", self.change_stream.stream_changes)
        router.add_post("/sandbox/frame", self._with_user(self.open_frame))
        router.add_post("/sandbox/auth", self._with_user(self.refresh_auth))
        router.add_post("/sandbox/whoami", self.switch_user)
        router.add_post("/sandbox/do/{name}", self._with_user(self.perform_action))
        add_static(app)

    # --- the user at the screen

    def _with_user(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def wrapped_handler(request: web.Request) -> web.StreamResponse:
            here = self.portal.domain
            if request.method == "GET" and here and request.host != here and "IFRAME" not in request.query:
                raise web.HTTPFound(f"{self.portal.url}{request.rel_url}")
            return await handler(request, self.current_user(request))

        return wrapped_handler

    def current_user(self, request: web.Request) -> User:
        """The user at the screen: from the cookie, else the first administrator."""
        chosen = request.cookies.get(COOKIE, "")
        user = self.portal.users.get(int(chosen)) if chosen.isdigit() else None
        if user and user.active:
            return user
        return self.portal.users[views.list_people(self.portal)[0]["id"]]

    async def switch_user(self, request: web.Request) -> web.Response:
        """Puts another user at the screen."""
        body = await _read_json(request)
        response = web.json_response({})
        response.set_cookie(COOKIE, str(int(body["id"])), samesite="Lax")
        return response

    def render_page(
        self, request: web.Request, me: User, template: str, title: str, section: str, **values: Any
    ) -> web.Response:
        """A page with the portal's header and menu."""
        portal = self.portal
        processes = tuple((f"type/{process.entity_type_id}", process.title, "item") for process in portal.types)
        common = {
            "portal_name": self.name, "title": title, "section": section, "me": views.person_view(me),
            "people": views.list_people(portal), "notices": views.list_notifications(portal, me.id),
            "apps": frames.list_applications(portal), "links": {"pbx": self.neighbours.pbx_url},
            "inner": request.query.get("IFRAME") == "Y",
            "crm_menu": (_MENU if portal.crm_mode == 1 else _MENU[1:]) + processes, "client_id": "",
        }  # fmt: skip
        return render_template(template, self.env, **{**common, **values})

    # --- pages

    async def home_page(self, request: web.Request, me: User) -> web.Response:
        portal = self.portal
        calls = [views.call_view(portal, row) for row in list(portal.statistics.values())[:-9:-1]]
        return self.render_page(request, me, "home.html", "Start", "home", steps=self._setup_steps(), calls=calls)

    def _setup_steps(self) -> list[dict[str, Any]]:
        portal = self.portal
        app = next(iter(frames.list_applications(portal)), None)
        installed, lines = bool(app and app["installed"]), bool(portal.lines or portal.statistics)
        frame = f"/marketplace/app/{app['client_id']}/" if app else "/"
        pbx = self.neighbours.pbx_url or "/"
        steps = [
            ("Install the application", "Open it as an administrator; it installs itself.", frame, "Open", installed),
            (
                "Connect a PBX",
                "Copy key and salt of the sandbox PBX into the application, and the hook address back.",
                pbx, "PBX: key and salt", lines,
            ),
            (
                "Let the phone ring", "Press “Incoming call” at the PBX and come back: the call card opens here.",
                pbx, "Make a call", bool(portal.statistics),
            ),
            (
                "Hear the recording", "It is in the timeline of the lead or contact that the call created.",
                "/telephony/", "Calls", bool(portal.files),
            ),
        ]  # fmt: skip
        first = next((number for number, step in enumerate(steps) if not step[4]), -1)
        return [
            {"title": title, "text": text, "url": url, "button": button, "done": done, "next": number == first}
            for number, (title, text, url, button, done) in enumerate(steps)
        ]

    async def application_page(self, request: web.Request, me: User) -> web.Response:
        client_id = request.match_info["client_id"]
        apps = frames.list_applications(self.portal)
        app = next((app for app in apps if app["client_id"] == client_id), None)
        if app is None:
            raise web.HTTPNotFound(text="no such application")
        options = {
            key[7:-1]: value for key, value in request.query.items() if key.startswith("params[") and key.endswith("]")
        }
        return self.render_page(
            request,
            me,
            "app.html",
            app["name"],
            "app",
            app=app,
            client_id=client_id,
            placement="DEFAULT",
            options=options,
        )

    def _record_type(self, request: web.Request) -> tuple[int, str]:
        if "type" in request.match_info:
            return int(request.match_info["type"]), f"type/{request.match_info['type']}"
        return views.KINDS[request.match_info["kind"]], request.match_info["kind"]

    async def records_page(self, request: web.Request, me: User) -> web.Response:
        portal, (type_id, kind) = self.portal, self._record_type(request)
        records = sorted(portal.crm.records[type_id].values(), key=lambda record: -record.id)
        plural = f"{views.TYPE_TITLES.get(type_id, '')}s"
        title = next((process.title for process in portal.types if process.entity_type_id == type_id), plural)
        rows = [views.record_view(portal, record) for record in records[:SHOWN_ROWS]]
        values: dict[str, Any] = {"kind": kind, "rows": rows}
        if type_id == DEAL:
            category = int(request.query.get("category", "0"))
            deals = [record for record in records if record.category_id == category]
            values |= {"columns": self._stage_columns(type_id, category, deals), "category": category, "pipelines": [
                {"id": row.id, "name": row.name, "count": sum(deal.category_id == row.id for deal in records)}
                for row in portal.categories if row.type_id == DEAL
            ]}  # fmt: skip
        return self.render_page(request, me, "list.html", title, kind, **values)

    def _stage_columns(self, type_id: int, category: int, records: list[Any]) -> list[dict[str, Any]]:
        rows = [(record.stage_id, views.record_view(self.portal, record)) for record in records[:SHOWN_ROWS]]
        return [
            {**stage, "rows": [row for stage_id, row in rows if stage_id == stage["id"]]}
            for stage in views.list_stages(self.portal, type_id, category)
        ]

    async def details_page(self, request: web.Request, me: User) -> web.Response:
        portal, (type_id, kind) = self.portal, self._record_type(request)
        record = portal.crm.get_record(type_id, int(request.match_info["id"]))
        if record is None:
            raise web.HTTPNotFound(text="no such record")
        planned, past = views.split_timeline(portal, record)
        code = f"CRM_{TYPE_NAMES.get(type_id, f'DYNAMIC_{type_id}')}_DETAIL_TAB"
        return self.render_page(
            request, me, "details.html", record.title, kind,
            one={**views.record_view(portal, record), "more": views.extra_fields(record)},
            kind_word=views.TYPE_TITLES.get(type_id, "Item"),
            stages=views.stage_steps(portal, record) if type_id not in (CONTACT, COMPANY) else [],
            linked=views.linked_records(portal, record), planned=planned, past=past,
            tabs=frames.placement_tabs(portal, code, {"ID": str(record.id)}),
        )  # fmt: skip

    async def telephony_page(self, request: web.Request, me: User) -> web.Response:
        portal = self.portal
        calls = [views.call_view(portal, row) for row in list(portal.statistics.values())[: -SHOWN_ROWS - 1 : -1]]
        return self.render_page(
            request, me, "telephony.html", "Telephony", "telephony", calls=calls, lines=list(portal.lines.values()),
            outgoing_line=portal.outgoing_line,
            tabs=frames.placement_tabs(portal, "TELEPHONY_ANALYTICS_MENU", {}),
        )  # fmt: skip

    async def admin_page(self, request: web.Request, me: User) -> web.Response:
        return self.render_page(request, me, "admin.html", "Sandbox", "admin", **backstage.page_values(self.portal))

    # --- requests of the pages' scripts

    async def list_cards(self, _request: web.Request, me: User) -> web.Response:
        """The call cards on this user's screen, and the users on whose screens others are open."""
        portal = self.portal
        mine = [frames.call_card(portal, card) for card in portal.cards[me.id].values()]
        elsewhere = [
            {"id": user_id, "name": views.person_view(portal.users.get(user_id), user_id)["name"], "phone": card.phone}
            for user_id, cards in portal.cards.items()
            for card in cards.values()
            if user_id != me.id and card.call_id not in portal.cards[me.id]
        ]
        return web.json_response({"mine": mine, "elsewhere": elsewhere})

    async def list_pickable(self, _request: web.Request, _me: User) -> web.Response:
        return web.json_response(frames.picker_choices(self.portal))

    async def open_frame(self, request: web.Request, me: User) -> web.Response:
        """Opens an application. Each opening gets new tokens."""
        body = await _read_json(request)
        options = body.get("options") if isinstance(body.get("options"), dict) else {}
        try:
            frame = frames.open_frame(
                self.portal, me, str(body["client_id"]), str(body.get("placement") or "DEFAULT"), options or {}
            )
        except frames.FrameError as error:
            raise web.HTTPForbidden(text=str(error)) from error
        return web.json_response(frame)

    async def refresh_auth(self, request: web.Request, me: User) -> web.Response:
        """The answer to `refreshAuth` of an application's frame."""
        try:
            client_id = str((await _read_json(request))["client_id"])
            return web.json_response(frames.refresh_auth(self.portal, me, client_id))
        except frames.FrameError as error:
            raise web.HTTPForbidden(text=str(error)) from error

    async def perform_action(self, request: web.Request, me: User) -> web.Response:
        """Performs an action of a page; see `actions`."""
        body = await _read_json(request)
        try:
            answer = actions.perform_action(self.portal, me, request.match_info["name"], body)
        except actions.ActionError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self.change_stream.notify_change()
        return web.json_response(answer)


async def _read_json(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="application/json expected")
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="not JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="an object is expected")
    return body
