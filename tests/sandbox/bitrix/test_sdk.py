"""The official Python SDK, a client that this project did not write, works with the sandbox over https.

The SDK knows the OAuth server and the portals by name. It is not patched: the fixture redirects connections to these
names in urllib3, and an environment variable makes the SDK trust the certificate authority of the sandbox.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3.util.connection
from aiohttp import web
from b24pysdk import BitrixApp, BitrixToken, Client
from b24pysdk.credentials import OAuthEventData, OAuthPlacementData
from b24pysdk.errors import BitrixAPIBadRequest, BitrixAPIExpiredToken, BitrixAPIPaymentRequired
from b24pysdk.errors.oauth import BitrixOAuthInvalidGrant

from bx24app.sandbox.checks import checked_sandbox
from bx24app.sandbox.server import Sandbox
from tests.sandbox.bitrix.conftest import LINE, PHONE

PORTAL, MOVED, OAUTH = "romashka.bitrix24.ru", "vasilek.bitrix24.ru", "oauth.bitrix24.tech"


class Sdk:
    """The SDK, set up with an application, a token of user 1 and the addresses behind the names."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.portal = sandbox.portal
        self.names = {OAUTH: sandbox.oauth.tls_host, PORTAL: self.portal.tls_host}
        self.portal.tls_name, sandbox.oauth.tls_name, self.portal.secure = PORTAL, OAUTH, True
        self.registration = sandbox.register_application("app.sdk", "sdk-secret", "http://127.0.0.1:9/", scopes=(
            "telephony", "crm", "user_basic", "placement", "im", "department",
        ))  # fmt: skip
        form = sandbox.call(self.portal.open_form, 1, self.registration)
        sandbox.call(self.portal.finish_install, self.registration)
        self.posted = {**form.fields, **dict(parse_qsl(urlsplit(form.url).query))}
        self.app = BitrixApp(client_id="app.sdk", client_secret="sdk-secret")
        self.placement = OAuthPlacementData.from_dict(self.posted)
        self.token = BitrixToken.from_oauth_placement_data(oauth_placement_data=self.placement, bitrix_app=self.app)

    @property
    def client(self) -> Any:
        return Client(self.token)

    def redirect(self, address: tuple[str, int]) -> tuple[str, int]:
        """The address to connect to in place of this one."""
        if address[0] not in self.names:
            return address
        host, _, port = self.names[address[0]].partition(":")
        return host, int(port)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    with checked_sandbox(tls=True) as sandbox:
        made = Sdk(sandbox)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_path))
        connect = urllib3.util.connection.create_connection
        monkeypatch.setattr(
            urllib3.util.connection,
            "create_connection",
            lambda address, *args, **kwargs: connect(made.redirect(address), *args, **kwargs),
        )
        yield made


def test_the_opening_of_the_frame_is_understood_and_genuine(sdk: Sdk) -> None:
    info = sdk.token.get_app_info().result
    assert sdk.placement.validate_against_app_info(info)
    assert (info.client_id, info.user_id, info.install.domain) == ("app.sdk", 1, PORTAL)
    assert info.install.member_id == sdk.portal.member_id
    assert "telephony" in info.scope


def test_a_refresh_rotates_the_pair(sdk: Sdk) -> None:
    old = sdk.token.oauth_token
    sdk.token.refresh_and_set_oauth_token()
    assert sdk.token.oauth_token.refresh_token != old.refresh_token
    assert sdk.client.profile().result["ID"] == "1"
    with pytest.raises(BitrixOAuthInvalidGrant):
        sdk.app.refresh_oauth_token(refresh_token=str(old.refresh_token))


def test_an_expired_token_is_refreshed_on_the_way(sdk: Sdk) -> None:
    old = sdk.token.auth_token
    sdk.sandbox.call(sdk.sandbox.oauth.expire_tokens)
    assert sdk.client.profile().result["ADMIN"] is True
    assert sdk.token.auth_token != old


def test_a_code_is_exchanged(sdk: Sdk) -> None:
    code = sdk.sandbox.call(sdk.sandbox.oauth.issue_code, sdk.portal, "app.sdk", 12)
    renewed = sdk.app.get_oauth_token(code=code)
    assert renewed.validate_against_app_info(sdk.app.get_app_info(renewed.oauth_token.access_token).result)
    assert (renewed.user_id, renewed.member_id) == (12, sdk.portal.member_id)
    with pytest.raises(BitrixOAuthInvalidGrant):
        sdk.app.get_oauth_token(code=code)


def test_a_call_from_ring_to_recording(sdk: Sdk) -> None:
    telephony = sdk.client.telephony
    assert telephony.external_line.add(LINE, name="Moscow").result == {"ID": 1}
    call = telephony.external_call.register(
        PHONE, 2, user_id=12, crm_create=1, show=1, line_number=LINE, external_call_id="e1",
        call_start_date="2026-01-15T10:00:00+03:00",
    ).result  # fmt: skip
    assert telephony.external_call.show(call["CALL_ID"], user_id=[8, 15]).result is True
    assert telephony.external_call.hide(call["CALL_ID"], user_id=[12, 15]).result is True
    done = telephony.external_call.finish(
        call["CALL_ID"], user_id=8, duration=95, status_code="200", add_to_chat=1
    ).result
    assert done["CRM_ACTIVITY_ID"]
    record = telephony.external_call.attach_record(
        call["CALL_ID"], filename="call.mp3", file_content=base64.b64encode(b"ID3 sound").decode()
    ).result
    (row,) = sdk.client.voximplant.statistic.get(filter={"CALL_ID": call["CALL_ID"]}).result
    assert (row["RECORD_FILE_ID"], row["PORTAL_USER_ID"]) == (record["FILE_ID"], "8")
    (client,) = telephony.external_call.search_crm_entities(PHONE).result
    assert (client["CRM_ENTITY_ID"], client["ASSIGNED_BY_ID"]) == (call["CRM_CREATED_LEAD"], 8)


def test_batches(sdk: Sdk) -> None:
    result = sdk.token.call_batch({
        "contact": ("crm.item.add", {"entityTypeId": 3, "fields": {"name": "A & B"}}),
        "deal": (
            "crm.item.add", {"entityTypeId": 2, "fields": {"title": "D", "contactIds": ["$result[contact][item][id]"]}},
        ),
        "wrong": ("crm.lead.get", {"id": 1}),
    })["result"]  # fmt: skip
    assert result["result"]["deal"]["item"]["contactIds"] == [result["result"]["contact"]["item"]["id"]]
    assert result["result_error"]["wrong"]["error_description"] == "Not found"
    many = sdk.token.call_batches([("profile", None)] * 60)["result"]
    assert len(many["result"]) == 60


def test_lists_of_several_pages(sdk: Sdk) -> None:
    for number in range(120):
        sdk.sandbox.call(sdk.portal.add_lead, f"Lead {number}")
    assert len(sdk.client.crm.lead.list().as_list().result) == 120
    items = sdk.client.crm.item.list(1, select=["id"]).as_list().result
    assert len(items) == 120
    assert len(list(sdk.client.crm.item.list(1, select=["id", "title"]).as_list_fast().result)) == 120


def test_crm(sdk: Sdk) -> None:
    crm = sdk.client.crm
    phone = {"typeId": "PHONE", "valueType": "WORK", "value": PHONE}
    contact = crm.item.add(3, {"name": "Client", "fm": [phone]}).result["item"]
    assert crm.item.update(3, contact["id"], {"assignedById": 8}).result["item"]["assignedById"] == 8
    assert crm.duplicate.findbycomm("PHONE", [PHONE]).result == {"CONTACT": [contact["id"]]}
    # The wrapper in SDK 1.3.2 takes only a datetime here and cannot serialise it, so the test calls the method by name.
    params = {"ownerTypeId": 3, "ownerId": contact["id"], "deadline": "2026-12-01T10:00:00+03:00", "title": "Call back"}
    todo = sdk.token.call_method("crm.activity.todo.add", params)["result"]
    assert sdk.portal.todos[todo["id"]].subject == "Call back"
    assert crm.category.list(2).result["categories"][0]["id"] == 0
    assert crm.status.list(filter={"ENTITY_ID": "SOURCE"}).result[0]["STATUS_ID"] == "CALL"
    assert crm.settings.mode.get().result == 1


def test_users(sdk: Sdk) -> None:
    assert sdk.client.user.current().result["ID"] == "1"
    assert sdk.client.user.admin().result is True
    users = sdk.token.call_method("user.get", {"FILTER": {"ACTIVE": True}})
    assert (len(users["result"]), users["total"]) == (4, 4)
    assert sdk.client.department.get().result[0]["ID"] == "1"
    assert sdk.client.scope().result[:2] == ["telephony", "crm"]


def test_bindings_and_notices(sdk: Sdk) -> None:
    assert sdk.client.event.bind("ONAPPUNINSTALL", handler="https://app.example/events").result is True
    assert sdk.client.event.get().result[0]["event"] == "ONAPPUNINSTALL"
    assert sdk.client.placement.bind("CALL_CARD", "https://app.example/card").result is True
    assert sdk.token.call_method("im.notify.system.add", {"USER_ID": 12, "MESSAGE": "Hello"})["result"] == 1


def test_an_event_is_understood_and_genuine(sdk: Sdk) -> None:
    posts: list[str] = []

    async def take(request: web.Request) -> web.Response:
        posts.append(await request.text())
        return web.Response()

    site = web.Application()
    site.router.add_post("/events", take)
    handler = f"{sdk.sandbox.add_site('application', site)}/events"
    assert sdk.client.event.bind("ONEXTERNALCALLSTART", handler=handler).result is True
    call_id = sdk.sandbox.call(sdk.portal.click_to_call, 12, PHONE)
    sdk.sandbox.call(sdk.portal.wait_until_idle)
    event = OAuthEventData.from_dict(dict(parse_qsl(posts[0], keep_blank_values=True)))
    assert (event.event, event.is_system) == ("ONEXTERNALCALLSTART", False)
    assert event.validate_against_app_info(event.get_app_info(sdk.app))
    assert event.data is not None
    assert event.data["CALL_ID"] == call_id


def test_a_new_domain_is_followed(sdk: Sdk) -> None:
    before = sdk.portal.tls_host
    sdk.sandbox.move_portal(sdk.portal, MOVED)
    sdk.names |= {PORTAL: before, MOVED: sdk.portal.tls_host}
    assert sdk.client.profile().result["ID"] == "1"
    assert sdk.token.domain == MOVED


def test_errors_have_their_classes(sdk: Sdk) -> None:
    with pytest.raises(BitrixAPIBadRequest):
        sdk.client.telephony.external_call.finish("unknown", user_id=12).result  # noqa: B018
    sdk.portal.switches.switch_on("payment_required", times=1)
    with pytest.raises(BitrixAPIPaymentRequired):
        sdk.client.profile().result  # noqa: B018
    sdk.portal.switches.switch_on("expired_token")
    with pytest.raises(BitrixAPIExpiredToken):
        sdk.client.profile().result  # noqa: B018
