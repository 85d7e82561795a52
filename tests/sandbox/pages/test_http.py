"""The pages of the portal and the PBX without a browser."""

from __future__ import annotations

import requests

from bx24app.sandbox import demo
from bx24app.sandbox.bitrix.state import Notification

from .conftest import World


def get(world: World, path: str, user: int | None = None) -> requests.Response:
    cookies = {"sandbox_user": str(user)} if user else None
    return requests.get(world.url + path, cookies=cookies, timeout=20)


def post(world: World, path: str, body: object, user: int = 1) -> requests.Response:
    return requests.post(world.url + path, json=body, cookies={"sandbox_user": str(user)}, timeout=20)


def test_every_page(world: World) -> None:
    world.installed()
    portal = world.sandbox.portal
    lead, contact, deal = (next(iter(rows)) for rows in (portal.leads, portal.contacts, portal.deals))
    for path in (
        "/", "/telephony/", "/admin/", "/crm/lead/list/", "/crm/deal/list/?category=9", "/crm/contact/list/",
        f"/crm/lead/details/{lead}/", f"/crm/contact/details/{contact}/", f"/crm/deal/details/{deal}/?IFRAME=Y",
        f"/marketplace/app/{demo.CLIENT_ID}/", "/crm/company/list/", "/crm/type/1038/list/",
    ):  # fmt: skip
        answer = get(world, path)
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<script>" not in answer.text
        assert " onclick=" not in answer.text
    assert get(world, "/crm/lead/details/99999/").status_code == 404
    assert get(world, "/marketplace/app/nothing/").status_code == 404


def test_another_name_of_this_machine_leads_home(world: World) -> None:
    port = world.sandbox.portal.host.rpartition(":")[2]
    answer = requests.get(f"http://localhost:{port}/telephony/", allow_redirects=False, timeout=20)
    assert answer.headers["Location"] == f"{world.url}/telephony/"


def test_who_looks(world: World) -> None:
    assert 'data-user="1"' in get(world, "/").text
    assert 'data-user="8" data-admin="0"' in get(world, "/", 8).text
    assert "not fully installed" in get(world, f"/marketplace/app/{demo.CLIENT_ID}/", 8).text
    answer = post(world, "/sandbox/frame", {"client_id": demo.CLIENT_ID}, 8)
    assert (answer.status_code, answer.text) == (403, "The application is not fully installed.")


def test_frame_data(world: World) -> None:
    made = post(world, "/sandbox/frame", {"client_id": demo.CLIENT_ID, "options": {"a": "1"}}).json()
    assert made["name"] == f"{world.sandbox.portal.host}|0|{made['sid']}"
    assert made["url"].startswith(world.app.install_url)
    init = made["init"]
    assert init["INSTALL"]
    assert init["FIRST_RUN"]
    assert init["AUTH_ID"] == made["fields"]["AUTH_ID"]
    assert (init["PROTOCOL"], init["PATH"], init["PLACEMENT_OPTIONS"]) == (0, "/rest", {"a": "1"})
    assert post(world, "/sandbox/do/finish_install", {"client_id": demo.CLIENT_ID}, 8).status_code == 400
    assert post(world, "/sandbox/do/finish_install", {"client_id": demo.CLIENT_ID}).status_code == 200
    again = post(world, "/sandbox/frame", {"client_id": demo.CLIENT_ID}, 8).json()
    assert again["url"].startswith(f"{world.app.handler_url}?")
    assert not again["init"]["INSTALL"]
    assert not again["init"]["IS_ADMIN"]


def test_actions(world: World) -> None:
    portal = world.sandbox.portal
    made = post(world, "/sandbox/do/add", {"kind": "deal", "name": "Roses", "phone": "+79160009900"}).json()
    assert portal.deals[made["id"]].contact_ids
    answer = post(world, "/sandbox/do/dial", {"phone": "+79160009900"})
    assert answer.status_code == 400  # no application takes outgoing calls yet
    world.installed()
    assert post(world, "/sandbox/do/dial", {"phone": "+79160009900", "owner": f"2:{made['id']}"}).status_code == 200
    world.call(portal.wait_until_idle)
    assert world.events[-1]["event"] == "ONEXTERNALCALLSTART"
    assert post(world, "/sandbox/do/portal", {"crm_mode": "2", "latency": "0"}).status_code == 200
    assert portal.crm_mode == 2
    assert ">Leads<" not in get(world, "/").text
    assert post(world, "/sandbox/do/fault", {"kind": "http503", "times": "2"}).status_code == 200
    assert "http503" in get(world, "/admin/").text
    assert post(world, "/sandbox/do/fault", {"kind": "nonsense"}).status_code == 400
    assert post(world, "/sandbox/do/nonsense", {}).status_code == 400
    assert post(world, "/sandbox/do/dismiss", {"id": 8}).status_code == 200
    assert not portal.users[8].active
    plain = requests.post(
        f"{world.url}/sandbox/do/dismiss", data="{}", headers={"Content-Type": "text/plain"}, timeout=20
    )
    assert plain.status_code == 415


def test_notifications_are_escaped(world: World) -> None:
    text = "[B]PBX[/B] <script>alert(1)</script>[br][URL=/crm/lead/list/]leads[/URL] [URL=javascript:alert(1)]x[/URL]"
    world.sandbox.portal.notifications[1] = Notification(1, 1, text, 0.0)
    shown = get(world, "/").text
    assert "<b>PBX</b> &lt;script&gt;alert(1)&lt;/script&gt;<br>" in shown
    assert '<a href="/crm/lead/list/">leads</a>' in shown
    assert 'href="javascript' not in shown


def test_pbx_page(world: World) -> None:
    answer = requests.get(f"{world.cloud.url}/", timeout=20)
    assert answer.status_code == 200
    for board in world.cloud.boards.values():
        assert board.pbx.name in answer.text
        other = requests.get(f"{world.cloud.url}/?pbx={board.pbx.api_key}", timeout=20)
        assert f'value="{board.pbx.api_salt}"' in other.text
        assert len(board.pbx.api_key) == len(board.pbx.api_salt) == 32
    assert world.url in answer.text


def test_ready_line(world: World) -> None:
    line = demo.ready_line(world.sandbox, world.cloud)
    assert line.startswith(f"sandbox ready portal={world.url}/ pbx={world.cloud.url}/ oauth=")
    assert "\n" not in line
