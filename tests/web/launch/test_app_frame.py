"""How a portal opens us: what each outcome shows, to whom, with which headers; renewal of the session."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from bx24app.bitrix24.errors import AnswerLost, NeedsAdmin
from bx24app.bitrix24.inbound import FramePost
from bx24app.portals import frame_auth, portal_events, reauthorise
from bx24app.portals.frame_auth import FrameOpening
from bx24app.web.base import session
from tests.web.conftest import claim

POST = {"AUTH_ID": "token", "REFRESH_ID": "refresh", "member_id": "m" * 32}
QUERY = "?DOMAIN=portal.example.ru&PROTOCOL=1&LANG=en&APP_SID=s"
Outcome = FrameOpening | Exception


@pytest.fixture
def outcome(portal: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], None]:
    """Sets what verifying an opening gives."""

    def choose(found: Outcome) -> None:
        def opened(post: FramePost, *, install_page: bool) -> FrameOpening:
            if isinstance(found, Exception):
                raise found
            return replace(found, lang=post.lang)

        monkeypatch.setattr(frame_auth, "open_frame", opened)

    choose(opening(portal))
    return choose


def opening(portal: int | None, *, admin: bool = True) -> FrameOpening:
    where = "https://portal.example.ru/rest/"
    return FrameOpening(portal, "m" * 32, "portal.example.ru", where, 7, admin, "en", "DEFAULT", {}, False)


def ancestors(said: object) -> str:
    found = re.search(r"frame-ancestors ([^;]*)", said.headers["Content-Security-Policy"])  # type: ignore[attr-defined]
    assert found
    return found.group(1)


@pytest.mark.usefixtures("outcome")
def test_an_administrator_gets_the_overview_at_the_first_paint(client: FlaskClient) -> None:
    said = client.post("/" + QUERY, data=POST)
    assert said.status_code == 200
    for piece in (
        'data-testid="checklist"',
        'data-testid="tab-pbxs"',
        "b24jssdk.min.js",
        "htmx.min.js",
        '<html lang="en">',
    ):
        assert piece in said.text
    assert "token" not in said.text.replace("-token", "")
    found = re.search(r'data-session="([^"]+)"', said.text)
    assert found
    assert client.get("/frame/pbxs", headers={session.HEADER: found.group(1)}).status_code == 200


@pytest.mark.usefixtures("outcome")
def test_headers_of_a_page(client: FlaskClient) -> None:
    said = client.post("/" + QUERY, data=POST)
    policy = said.headers["Content-Security-Policy"]
    assert ancestors(said) == "https://portal.example.ru"
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "connect-src 'self' https://portal.example.ru;" in policy
    assert said.headers["Cache-Control"] == "no-store"
    assert said.headers["Referrer-Policy"] == "no-referrer"
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Frame-Options" not in said.headers
    config = json.loads(re.findall(r"name=\"htmx-config\" content='([^']+)'", said.text)[0])
    assert config["allowEval"] is False
    assert config["includeIndicatorStyles"] is False


def test_a_cyrillic_portal_is_named_in_ascii_in_headers(
    client: FlaskClient, outcome: Callable[[Outcome], None], portal: int
) -> None:
    """Also where the row was stored before names were stored in ASCII."""
    outcome(replace(opening(portal), client_endpoint="https://телефон.рф/rest/"))
    assert ancestors(client.post("/" + QUERY, data=POST)) == "https://xn--e1aarjeur.xn--p1ai"
    outcome(AnswerLost("x"))
    said = client.post("/", query_string={"DOMAIN": "Телефон.рф:8443"}, data=POST)
    assert ancestors(said) == "https://xn--e1aarjeur.xn--p1ai:8443"


@pytest.mark.usefixtures("outcome")
def test_no_page_holds_inline_script_or_style(site: Flask, client: FlaskClient) -> None:
    pages = [client.post("/" + QUERY, data=POST), client.post("/install" + QUERY, data=POST), client.get("/privacy")]
    for said in pages:
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", said.text)


@pytest.mark.parametrize("path", ["/", "/install"])
def test_a_forged_opening_shows_how_to_get_back_in(
    client: FlaskClient, outcome: Callable[[Outcome], None], path: str
) -> None:
    outcome(frame_auth.ForgedRequest("the token belongs to another portal"))
    said = client.post(path + QUERY, data=POST)
    assert said.status_code == 403
    assert "open the application again" in said.text
    assert "belongs to another portal" not in said.text
    assert "data-session" not in said.text
    assert ancestors(said) == "https://portal.example.ru", "a portal may show it to its people"
    other = client.post(path + QUERY.replace("portal.", "evil."), data=POST)
    assert (other.status_code, other.text) == (said.status_code, said.text)
    assert ancestors(other) == "https://evil.example.ru", "and so may a host that is no portal of ours"


def test_nothing_that_can_be_believed_is_refused_as_well(client: FlaskClient, portal: int) -> None:
    for form in ({}, {"AUTH_ID": "x"}, {"AUTH_ID": "x", "member_id": "<script>"}):
        said = client.post("/" + QUERY.replace("portal.", "other."), data=form)
        assert (said.status_code, ancestors(said)) == (403, "https://other.example.ru")


def test_an_unknown_client_is_told_the_command(client: FlaskClient, outcome: Callable[[Outcome], None]) -> None:
    outcome(frame_auth.UnknownClient("local.<5f>"))
    said = client.post("/install" + QUERY, data=POST)
    assert said.status_code == 403
    assert "local.&lt;5f&gt;" in said.text
    assert "bx24app apps add local.&lt;5f&gt;</p>" in said.text


def test_a_colleague_before_the_administrator_is_told_so(
    client: FlaskClient, outcome: Callable[[Outcome], None]
) -> None:
    outcome(opening(None, admin=False))
    said = client.post("/" + QUERY, data=POST)
    assert said.status_code == 403
    assert "not an administrator" in said.text


def test_an_employee_gets_their_calls(client: FlaskClient, portal: int, outcome: Callable[[Outcome], None]) -> None:
    outcome(opening(portal, admin=False))
    said = client.post("/" + QUERY, data=POST)
    assert said.status_code == 200
    assert "not an administrator" in said.text
    assert 'data-testid="tab-pbxs"' not in said.text


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (AnswerLost("no answer of server 10.1.2.3"), 503, "portal_silent"),
        (NeedsAdmin("payment", "PAYMENT_REQUIRED"), 403, "portal_refuses"),
        (NeedsAdmin("access", "user_access_error"), 403, "no_access"),
        (NeedsAdmin("rights", "ACCESS_DENIED"), 403, "no_access"),
    ],
)
def test_a_portal_that_cannot_be_asked_is_said_in_words(
    client: FlaskClient, outcome: Callable[[Outcome], None], error: Exception, status: int, kind: str
) -> None:
    outcome(error)
    said = client.post("/" + QUERY, data=POST)
    assert (said.status_code, said.headers["X-Error"]) == (status, kind)
    assert "10.1.2.3" not in said.text
    assert ancestors(said) == "https://portal.example.ru"


@pytest.mark.parametrize(
    "domain", ["*", "portal.example.ru;script-src *", "x y.ru", "-a.ru", "a..ru", "portal.example.ru/path", "'self'"]
)
def test_a_domain_that_is_none_gets_into_no_header(
    client: FlaskClient, outcome: Callable[[Outcome], None], domain: str
) -> None:
    outcome(AnswerLost("x"))
    assert ancestors(client.post("/", query_string={"DOMAIN": domain}, data=POST)) == "'none'"


@pytest.mark.usefixtures("outcome")
def test_the_install_page_ends_the_installation_by_the_sdk(client: FlaskClient) -> None:
    said = client.post("/install" + QUERY, data=POST)
    assert said.status_code == 200
    assert "b24jssdk.min.js" in said.text
    assert "js/install.js" in said.text
    assert 'action="/frame/open"' in said.text


def test_an_application_without_a_page_posts_its_event_to_install(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def receive(post: object) -> int:
        seen.append(post.event)  # type: ignore[attr-defined]
        return 200

    monkeypatch.setattr(portal_events, "receive", receive)
    assert client.post("/install", data={"event": "ONAPPINSTALL", "auth[member_id]": "m"}).status_code == 200
    assert seen == ["ONAPPINSTALL"]


@pytest.mark.parametrize("status", [200, 403, 503])
def test_events_answer_what_the_use_case_says(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(portal_events, "receive", lambda post: status)
    said = client.post("/bitrix24/events", data={"event": "ONAPPUPDATE"})
    assert said.status_code == status
    assert ("Retry-After" in said.headers) == (status == 503)


@pytest.mark.usefixtures("outcome")
def test_a_session_is_renewed_by_a_fresh_token(client: FlaskClient) -> None:
    said = client.post("/frame/renew", data=POST | {"DOMAIN": "portal.example.ru", "LANG": "en"})
    assert said.status_code == 200
    body = said.get_json()
    assert body["seconds"] == session.SESSION_SECONDS
    assert client.get("/frame/policy", headers={session.HEADER: body["session"]}).status_code == 200


def test_a_renewal_that_is_not_believed_gives_nothing(client: FlaskClient, outcome: Callable[[Outcome], None]) -> None:
    for met in (frame_auth.ForgedRequest("x"), frame_auth.UnknownClient("x"), opening(None)):
        outcome(met)
        assert client.post("/frame/renew", data=POST).status_code == 401
    assert client.post("/frame/renew", data={}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/install", "/privacy"])
def test_whoever_passes_by_gets_a_short_page(client: FlaskClient, path: str) -> None:
    for said in (client.get(path), client.head(path)):
        assert said.status_code == 200
        assert ancestors(said) == "'none'"
    assert "Mango Office" in client.get(path).text
    assert "Битрикс24" in client.get(path, headers={"Accept-Language": "ru"}).text


def test_the_code_of_an_authorisation_comes_to_the_root(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, str]] = []

    def finish(code: str, state: str, server: str) -> str:
        seen.append((code, state, server))
        return "https://portal.example.ru"

    monkeypatch.setattr(reauthorise, "finish_authorisation", finish)
    for path in ("/", "/oauth/callback"):
        said = client.get(f"{path}?code=c&state=s&server_domain=oauth.bitrix.info&domain=x&member_id=y")
        assert said.status_code == 200
        assert 'data-testid="authorised"' in said.text
    assert seen == [("c", "s", "oauth.bitrix.info")] * 2


def test_authorising_again_starts_at_the_portal(client: FlaskClient, site: Flask, portal: int) -> None:
    url = client.post("/frame/authorise", headers=claim(site, portal)).get_json()["url"]
    said = client.get(url)
    assert said.status_code == 302
    assert re.match(
        r"https://portal\.example\.ru/oauth/authorize/\?client_id=local\.1&state=.{20}", said.headers["Location"]
    )


@pytest.mark.parametrize("state", ["", "forged", "WzEsImxvY2FsLjEiXQ.aaaa.bbbb"])
def test_a_state_that_is_not_ours_changes_nothing(client: FlaskClient, portal: int, state: str) -> None:
    said = client.get(f"/oauth/callback?code=c&state={state}")
    assert said.status_code == 403
    assert "not authorised" in said.text


def test_a_silent_database_and_a_fault_say_nothing_inside(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {503: OperationalError("select secret", {}, Exception("host db.local")), 500: RuntimeError("secret")}
    for status, error in errors.items():

        def opened(post: FramePost, *, install_page: bool, error: Exception = error) -> FrameOpening:
            raise error

        monkeypatch.setattr(frame_auth, "open_frame", opened)
        said = client.post("/" + QUERY, data=POST)
        assert said.status_code == status
        for word in ("secret", "db.local", "Traceback"):
            assert word not in said.text


@pytest.mark.parametrize(("lang", "says", "kept"), [("en", "for 90 days", "1095 days"), ("ru", "90 дней", "1095 дней")])
def test_the_privacy_page_in_both_languages(site: Flask, client: FlaskClient, lang: str, says: str, kept: str) -> None:
    said = client.get("/privacy", headers={"Accept-Language": lang}).text
    assert says in said
    assert kept in said
    assert client.get(f"/privacy?lang={lang}").text == said
    runtime = site.extensions["bx24app"]
    runtime.config = runtime.config.model_copy(update={"keep_notifications_days": 31, "keep_calls_days": 0})
    said = client.get(f"/privacy?lang={lang}").text
    assert "31 d" in said or "31 день" in said
    assert kept not in said
