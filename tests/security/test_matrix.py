"""Every address x every parameter x own and foreign record, call, number, file and portal, for everybody: nobody is
shown what is not theirs.

Routes come from the app's map and parameters from what the program reads. A new route, or a parameter that
`matrix.KINDS` does not know, fails until somebody says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from bx24app.models import Delivery, Grant, Recording, db
from bx24app.web import ROUTE_TABLE
from bx24app.web.base.guards import require_frame_admin, require_frame_session, require_placement_session
from tests.security.matrix import KIND_OF, Estate, Person, Thing, estate, literal_names, noted_names, unknown_names

ROUTES: dict[str, str] = {
    "admin": "backfills.show backfills.begin_backfill backfills.stop_backfill backfills.show_progress history.show "
    "history.show_version history.confirm_rollback history.roll_back pbxs.show pbxs.create pbxs.show_pbx pbxs.save "
    "pbxs.rotate_address pbxs.edit_form pbxs.show_notification_state pbxs.remove pbxs.new_form employees.show "
    "employees.save employees.accept_suggestions employee_file.show employee_file.preview_changes "
    "employee_file.apply_changes employee_file.issue_ticket lines.show lines.save policy.show policy.save "
    "policy.reload_outgoing_line rules.show rules.save rules.apply_matrix rules.reload_dictionaries "
    "rules.describe_changes rules.edit_rule rules.show_dry_run rules.explain_call rules.describe_rule statistics.show "
    "undelivered.show undelivered.retry_all undelivered.show_report "
    "undelivered.retry_waiting undelivered.reread_notifications "
    "undelivered.retry_set_aside authorise.issue_ticket portal_state.show portal_state.check",
    "frame": "home.show home.open_page home.choose_preset home.save_responsible home.show_milestones calls.show "
    "calls.show_call calls.retry_call calls.request_export calls.show_list calls.show_more calls.retry_recording "
    "calls.issue_ticket",
    "tab": "placement_calls.show_more placement_calls.show placement_calls.issue_ticket",
    "token": "app_frame.open_app app_frame.open_install app_frame.renew_session app_frame.take_over "
    "placements.show_record placements.show_call_card placements.change_client placements.renew_session "
    "placements.open_telephony bitrix24_events.receive_event",
    "ticket": "downloads.download_journal downloads.download_employees downloads.stream_recording "
    "oauth.start_authorisation oauth.callback",
    "open": "app_frame.show_about app_frame.show_install_about app_frame.show_privacy health.check_alive "
    "health.check_ready health.scrape_metrics assets.serve_file static mango_hooks.receive_notification "
    "mango_hooks.explain_address",
}
"""How a route proves its caller -> endpoints."""
PROOF_OF = {endpoint: proof for proof, endpoints in ROUTES.items() for endpoint in endpoints.split()}
GUARDS = {"admin": require_frame_admin, "frame": require_frame_session, "tab": require_placement_session}
OBJECT_PARTS = {"call_id", "recording_id"}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Estate]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with estate(folder, valkey_url) as running:
        yield running


@pytest.fixture
def client(where: Estate) -> FlaskClient:
    where.world.app.extensions["bx24app"].redis.flushall()  # limits by address count for one test
    return where.world.app.test_client()


def words(answer: TestResponse) -> set[str]:
    return set(re.findall("Zq(?:anna|boris|boss|alien)", answer.text))


def routes(where: Estate, proof: str) -> Iterator[tuple[Rule, str]]:
    for rule in where.world.app.url_map.iter_rules():
        if PROOF_OF.get(rule.endpoint) == proof:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method


def address_of(where: Estate, rule: Rule, thing: Thing) -> str:
    values = {"version": "1", "filename": "x", "path": "x", "name": "x"} | thing.path_values()
    chosen = {name: values[name] for name in rule.arguments}
    return str(where.world.app.url_map.bind("localhost").build(rule.endpoint, chosen))


def send(client: FlaskClient, method: str, address: str, sent: dict[str, str], headers: dict[str, str]) -> TestResponse:
    how: dict[str, Any] = {"query_string": sent} if method == "GET" else {"query_string": sent, "data": sent}
    return client.open(address, method=method, headers=headers, buffered=True, **how)


def everything_of(thing: Thing, kinds: set[str] | None = None) -> dict[str, str]:
    """All parameters at once, each naming this thing."""
    wanted = {name: kind for name, kind in KIND_OF.items() if kind not in ("proof", "ticket")}
    return {name.replace("#", "1"): thing.value(kind) for name, kind in wanted.items() if not kinds or kind in kinds}


def check(answer: TestResponse, person: Person, allowed: frozenset[str], what: str) -> None:
    assert answer.status_code < 500 or answer.headers.get("X-Error") in ("portal_silent", "later"), what
    assert words(answer) <= allowed, f"{person.name}: {what} shows {words(answer) - allowed}"


def test_every_route_and_parameter_is_in_the_matrix(where: Estate) -> None:
    endpoints = {rule.endpoint for rule in where.world.app.url_map.iter_rules()}
    assert endpoints == set(PROOF_OF), "say in ROUTES how a new route proves its caller"
    guards = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    for endpoint, proof in PROOF_OF.items():
        guard = guards.get(endpoint.partition(".")[0])
        assert (guard is GUARDS[proof]) if proof in GUARDS else guard not in GUARDS.values(), endpoint
    assert literal_names() <= set(KIND_OF), "say in KINDS what a new parameter names"


def tried_things(where: Estate, person: Person) -> list[Thing]:
    """Administrators are given the other portal's only: their own they may change."""
    things = list(where.things.values())
    return [thing for thing in things if thing.portal != person.portal] if person.is_admin else things


@pytest.mark.parametrize("number", range(5), ids=["administrator", "anna", "boris", "alien", "nobody"])
def test_pages_of_the_frame(where: Estate, client: FlaskClient, number: int) -> None:
    person = where.people[number]
    headers = where.frame_headers(person)
    for proof in ("admin", "frame"):
        for rule, method in routes(where, proof):
            for thing in tried_things(where, person):
                address = address_of(where, rule, thing)
                with noted_names() as names:
                    answer = send(client, method, address, everything_of(thing), headers)
                what = f"{method} {address} with all of {thing.word}: {answer.status_code}"
                assert not unknown_names(names), f"{what} reads {unknown_names(names)}"
                check(answer, person, person.sees_calls, what)
                if person.portal is None:
                    assert answer.status_code == 401, what
                elif proof == "admin" and not person.is_admin:
                    assert answer.status_code == 403, what
                elif OBJECT_PARTS & rule.arguments and thing.word not in person.sees_calls:
                    assert answer.status_code == 404, what


def test_each_parameter_alone(where: Estate, client: FlaskClient) -> None:
    """As above, one parameter at a time: together, one may hide what another would show."""
    person = where.people[1]
    headers, own = where.frame_headers(person), where.things["anna"]
    shown = set()
    for rule, method in routes(where, "frame"):
        with noted_names() as names:
            shown |= words(send(client, method, address_of(where, rule, own), {}, headers))
        for name in names & set(KIND_OF):
            for thing in where.things.values():
                sent = {name.replace("#", "1"): thing.value(KIND_OF[name])}
                address = address_of(where, rule, own)
                answer = send(client, method, address, sent, headers)
                check(answer, person, person.sees_calls, f"{method} {address} {sent}")
    assert shown == {"Zqanna"}, "their own call is shown, so the check sees what it looks for"


def test_nobody_changed_what_is_not_theirs(where: Estate) -> None:
    with where.world.app.app_context():
        assert {row.state for row in db.session.query(Delivery)} == {"dead"}
        assert {(row.state, row.tries) for row in db.session.query(Recording)} == {("attached", 0)}
        assert [row.user_id for row in db.session.query(Grant).order_by(Grant.portal_id)] == [1, 1]
        db.session.rollback()


def test_tickets(where: Estate, client: FlaskClient) -> None:
    """A file is fetched with a ticket for it alone; a ticket is given for what one may see."""
    own = where.things["anna"]
    for person in where.people:
        headers, urls = where.frame_headers(person), []
        for thing in where.things.values():
            answer = client.post(f"/frame/calls/recordings/{thing.recording}/ticket", headers=headers)
            expected = 401 if person.portal is None else 200 if thing.word in person.sees_calls else 404
            assert answer.status_code == expected, (person.name, thing.word)
            urls += [answer.get_json()["url"]] if expected == 200 else []
        answer = client.post("/frame/calls/export/jsonl", headers=headers)
        urls += [answer.get_json()["url"]] if answer.status_code == 200 else []
        for url in urls:
            ticket = url.partition("ticket=")[2].partition("&")[0]
            for rule, method in routes(where, "ticket"):
                for thing in where.things.values():
                    address = address_of(where, rule, thing)
                    sent = everything_of(thing) | {"ticket": ticket}
                    answer = send(client, method, address, sent, {})
                    check(answer, person, person.sees_calls, f"{address} with a ticket of {person.name}")
                    if f"{address}?" not in url:
                        assert answer.status_code in (401, 403, 404), (person.name, address, url)
        exports = [client.get(url, buffered=True) for url in urls if "/media/calls/" in url]
        assert [words(answer) for answer in exports] == [set(person.sees_calls)] * (person.portal is not None)
    for form in ("jsonl", "csv"):
        assert client.get(f"/media/calls/all.{form}").status_code == 401
    assert client.get(f"/media/recording/{own.recording}").status_code == 401


def test_what_proves_its_caller_otherwise_tells_nobody_anything(where: Estate, client: FlaskClient) -> None:
    person = where.people[-1]
    for proof in ("token", "ticket", "open", "tab"):
        for rule, method in routes(where, proof):
            for thing in where.things.values():
                member_id = where.world.sandbox.portals[thing.portal].member_id
                forged = {"AUTH_ID": "forged", "member_id": member_id, "auth[member_id]": member_id, "code": "c"}
                address = address_of(where, rule, thing)
                with noted_names() as names:
                    answer = send(client, method, address, everything_of(thing) | forged | {"state": "s"}, {})
                assert not unknown_names(names), f"{method} {address} reads {unknown_names(names)}"
                check(answer, person, frozenset(), f"{method} {address}")
                assert answer.status_code != 200 or proof == "open" or rule.endpoint == "bitrix24_events.receive_event"
