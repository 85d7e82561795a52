"""The matrix for what a portal's token proves: tabs of records and of the call card, and openings of the app, for
everybody and with everybody's records, calls and numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bx24app.models import Grant, db
from bx24app.web.base import session
from tests.security.matrix import Estate, Person, Thing, estate, noted_names, unknown_names
from tests.security.test_matrix import check, words

PEOPLE = ["administrator", "anna", "boris", "alien", "nobody"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Estate]:
    folder: Path = tmp_path_factory.mktemp("tabs")
    with estate(folder, valkey_url) as running:
        yield running


@pytest.fixture
def client(where: Estate) -> FlaskClient:
    where.world.app.extensions["bx24app"].redis.flushall()  # limits by address count for one test
    return where.world.app.test_client()


def open_tab(where: Estate, client: FlaskClient, person: Person, path: str, **options: Any) -> TestResponse:
    query, fields = where.token_fields(person, **options)
    with noted_names() as names:
        answer = client.post(f"{path}?{query}", data=fields)
    assert not unknown_names(names), f"{path} reads {unknown_names(names)}"
    return answer


def claim_of(answer: TestResponse) -> dict[str, str]:
    match = re.search(r'data-session="([^"]+)"', answer.text)
    return {session.HEADER: match[1]} if match else {}


def try_session(where: Estate, client: FlaskClient, person: Person, headers: dict[str, str], what: str) -> None:
    """Everything that a tab's session opens."""
    for path in ("/place/calls", "/place/calls/all"):
        listing = client.get(path, headers=headers)
        check(listing, person, person.sees_records, f"{path} {what}")
        for thing in where.things.values():
            answer = client.post(f"/place/calls/recordings/{thing.recording}/ticket", headers=headers)
            expected = 200 if thing.word in words(listing) else 404
            assert answer.status_code == expected, f"{person.name}: recording of {thing.word} {what}"


def prove(where: Estate, client: FlaskClient, person: Person, path: str, record: str, claim: dict[str, str]) -> Any:
    query, fields = where.token_fields(person)
    sent = {name: fields[name] for name in ("AUTH_ID", "AUTH_EXPIRES", "member_id")}
    sent |= {"CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": record}
    return client.post(f"{path}?{query}", data=sent, headers=claim)


@pytest.mark.parametrize("number", range(5), ids=PEOPLE)
def test_tabs_of_the_call_card(where: Estate, client: FlaskClient, number: int) -> None:
    person, things = where.people[number], list(where.things.values())
    seen: set[str] = set()
    for record in [*things, None]:
        record_id = record.value("record") if record else ""
        for claimed in things:
            what = f"with the record of {record.word if record else 'nobody'} and the number of {claimed.word}"
            names = {"CRM_ENTITY_TYPE": "LEAD" if record else "", "CRM_ENTITY_ID": record_id}
            names |= {"PHONE_NUMBER": claimed.number, "CALL_ID": claimed.value("bitrix_call")}
            answer = open_tab(where, client, person, "/place/call", **names)
            check(answer, person, person.sees_records, what)
            claim = claim_of(answer)
            assert bool(claim) == (person.portal is not None), what
            if not claim:
                continue
            seen |= words(answer)
            try_session(where, client, person, claim, what)
            turns = [("/place/renew", record_id), ("/place/call/client", things[0].value("record"))]
            for path, wanted in turns if not person.is_admin else ():
                renewed = prove(where, client, person, path, wanted, claim)
                assert renewed.status_code == 200, f"{path} {what}"
                headers = {session.HEADER: renewed.get_json()["session"]}
                listing = client.get("/place/calls/all", headers=headers)
                check(listing, person, person.sees_records, f"{path} {what}")
    assert seen == (person.sees_records if person.portal is not None else set()), "each sees what they may"


@pytest.mark.parametrize("number", range(5), ids=PEOPLE)
def test_tabs_of_records(where: Estate, client: FlaskClient, number: int) -> None:
    person = where.people[number]
    for thing in where.things.values():
        for entity in ("lead", "deal", "contact", "company"):
            answer = open_tab(where, client, person, f"/place/{entity}", ID=thing.value("record"))
            check(answer, person, person.sees_records, f"the tab of the {entity} of {thing.word}")
            if claim := claim_of(answer):
                try_session(where, client, person, claim, f"in the tab of {thing.word}")


@pytest.mark.parametrize("number", range(5), ids=PEOPLE)
def test_openings_and_what_else_a_token_proves(where: Estate, client: FlaskClient, number: int) -> None:
    """With a token of one portal and the names of the other, too."""
    person = where.people[number]
    query, fields = where.token_fields(person)
    other: Thing = where.things["anna" if person.portal == 1 else "alien"]
    forged = {"member_id": where.world.sandbox.portals[other.portal].member_id}
    domains = {"": query, "of the other portal": re.sub("DOMAIN=[^&]*", "DOMAIN=portal.evil.example", query)}
    for path in ("/", "/install", "/place/telephony", "/frame/renew", "/frame/takeover"):
        for given in ({}, forged):
            for domain, text in domains.items():
                with noted_names() as names:
                    answer = client.post(f"{path}?{text}", data=fields | given | {"REFRESH_ID": ""})
                assert not unknown_names(names), f"{path} reads {unknown_names(names)}"
                check(answer, person, person.sees_calls, f"{path} {given} {domain}")
                if given or domain or person.portal is None:
                    assert answer.status_code in (401, 403), f"{path} {given} {domain}"
    with where.world.app.app_context():
        assert [row.user_id for row in db.session.query(Grant).order_by(Grant.portal_id)] == [1, 1]
        db.session.rollback()


def test_strangers_cannot_tell_which_portals_are_installed(where: Estate, client: FlaskClient) -> None:
    """Without a proof every address answers about an installed portal as about another; only the host comes back."""
    portal, other = where.world.portal, ("stranger.example", "f" * 32)
    for path in (
        "/", "/install", "/place/call", "/place/lead", "/place/telephony", "/place/renew", "/place/call/client",
        "/frame/renew", "/frame/takeover", "/bitrix24/events", "/oauth/start",
    ):  # fmt: skip
        answers = set()
        for domain, member_id in ((portal.domain, portal.member_id), other):
            query = {"DOMAIN": domain, "domain": domain}
            form = {"AUTH_ID": "forged", "member_id": member_id, "auth[member_id]": member_id}
            form |= {"event": "ONEXTERNALCALLSTART"} if path.startswith("/bitrix24") else {}
            method = "GET" if path == "/oauth/start" else "POST"
            answer = client.open(path, method=method, query_string=query, data=form, buffered=True)
            headers = {name: value.replace(domain, "HOST") for name, value in answer.headers.items()}
            answers.add((answer.status_code, answer.text.replace(domain, "HOST"), str(headers)))
        assert len(answers) == 1, (path, answers)
        assert {status for status, _, _ in answers} <= {401, 403, 404}
