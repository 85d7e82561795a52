"""The client against the sandbox's PBX, over real HTTP: what it asks, what it makes of each answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest

from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import Party, PbxEvent
from bx24app.mango import statistics, statistics_users, vpbx
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import (
    AddressRefused,
    AnswerLost,
    MangoError,
    NotPermitted,
    RequestRefused,
    ResourceNotFound,
    TemporaryFailure,
    WrongKey,
    WrongSignature,
)
from bx24app.mango.transport import new_session
from bx24app.sandbox.mango import Board, MangoCloud, RestFault
from tests.support.sequences import SEQUENCES, compact

CODES = [title.split()[0] for title in SEQUENCES]


@pytest.fixture
def board(cloud: MangoCloud) -> Board:
    made = cloud.add_pbx(name="moscow")
    made.pbx.add_line("74950000001", "Main line")
    made.pbx.add_line("74950000002")
    made.pbx.add_employee("101", "Анна Иванова", email="anna@example.ru", mobile="79160000101")
    made.pbx.add_employee("102", "Boris", email="boris@example.ru")
    made.pbx.add_employee("103", "Vera")
    made.pbx.add_employee("", "Without extension")
    made.pbx.add_group("300", "Sales", ["101", "102", "103"])
    return made


@pytest.fixture
def mango(cloud: MangoCloud, board: Board) -> Iterator[MangoClient]:
    with new_session() as session:
        yield MangoClient(cloud.api_url, board.pbx.api_key, board.pbx.api_salt, session, timeout=(5, 5))


def employee(party: Party) -> Party | None:
    if party.number == "79160000101":
        return Party("101")
    return Party(party.extension) if party.extension else None


def told(events: list[PbxEvent]) -> CallEntry:
    found = assemble_entry(events, employee)
    assert found is not None
    return found


# What the PBX consists of.


def test_users(mango: MangoClient) -> None:
    found = mango.fetch_users()
    assert [user.extension for user in found] == ["101", "102", "103", None]
    anna = found[0]
    assert (anna.name, anna.email, anna.mobile) == ("Анна Иванова", "anna@example.ru", "79160000101")
    assert anna.user_id
    assert anna.numbers[0].startswith("sip:user101@")
    assert found[1].mobile is None


def test_lines_groups_balance(mango: MangoClient) -> None:
    assert [(line.number, line.name) for line in mango.fetch_lines()] == [
        ("74950000001", "Main line"),
        ("74950000002", ""),
    ]
    [group] = mango.fetch_groups()
    assert (group.extension, group.name, group.operators) == ("300", "Sales", ("101", "102", "103"))
    assert (mango.fetch_balance().amount, mango.fetch_balance().currency) == (Decimal(1500), "RUB")


# Keys.


def test_check(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    key, salt = board.pbx.api_key, board.pbx.api_salt
    good = mango.check_credentials()
    assert (good.state, [line.number for line in good.lines]) == ("ok", ["74950000001", "74950000002"])
    cloud.limits.has_lockout = False
    assert MangoClient(cloud.api_url, "another key", salt).check_credentials().state == "wrong_key"
    assert MangoClient(cloud.api_url, key, "another salt").check_credentials().state == "wrong_salt"
    board.pbx.allowed_addresses = ["10.0.0.*"]
    assert mango.check_credentials().state == "address_refused"
    board.pbx.allowed_addresses = []
    cloud.rest_faults["*"] = RestFault("code", 5201)
    assert mango.check_credentials().state == "ok"
    cloud.rest_faults["*"] = RestFault("code", 3100)
    assert mango.check_credentials().state == "refused"
    cloud.rest_faults["*"] = RestFault("http", 503)
    assert mango.check_credentials().state == "busy"


@pytest.mark.parametrize("errors", ["result200", "code420"])
def test_both_ways_to_say_a_code(cloud: MangoCloud, board: Board, mango: MangoClient, errors: str) -> None:
    cloud.errors, cloud.limits.has_lockout = errors, False
    with pytest.raises(WrongKey):
        MangoClient(cloud.api_url, "another key", board.pbx.api_salt).fetch_lines()
    with pytest.raises(WrongSignature) as caught:
        MangoClient(cloud.api_url, board.pbx.api_key, "another salt").fetch_lines()
    assert caught.value.code == 3102
    assert caught.value.describe() == "подпись не сходится"
    with pytest.raises(ResourceNotFound):
        mango.open_recording("no-such-recording", lambda url: None)


def test_the_second_wrong_request_locks_out(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    wrong = MangoClient(cloud.api_url, board.pbx.api_key, "another salt")
    assert [wrong.check_credentials().state for _ in range(2)] == ["wrong_salt", "address_refused"]
    with pytest.raises(AddressRefused):
        mango.fetch_lines()


def test_the_limit_of_requests(cloud: MangoCloud, mango: MangoClient) -> None:
    cloud.limits.is_enabled = True
    mango.fetch_users()
    with pytest.raises(TemporaryFailure) as caught:  # one in two seconds
        mango.fetch_users()
    assert caught.value.code == 429
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RestFault("http", 500), TemporaryFailure),
        (RestFault("html"), TemporaryFailure),
        (RestFault("close-before"), TemporaryFailure),
        (RestFault("close-after"), TemporaryFailure),
        (RestFault("code", 5008), TemporaryFailure),
        (RestFault("code", 4290), TemporaryFailure),
        (RestFault("code", 5201), NotPermitted),
        (RestFault("code", 2240), NotPermitted),
        (RestFault("code", 3104), RequestRefused),
        (RestFault("http", 404), ResourceNotFound),
    ],
)
def test_troubles_of_a_question(
    cloud: MangoCloud, mango: MangoClient, fault: RestFault, kind: type[MangoError]
) -> None:
    cloud.rest_faults["incominglines"] = fault
    with pytest.raises(kind):
        mango.fetch_lines()
    del cloud.rest_faults["incominglines"]
    assert mango.fetch_lines()


# Statistics.


def ordered(mango: MangoClient) -> list[dict[str, object]]:
    now = int(time.time())
    key = mango.request_calls(now - 7 * 86400, now + 60)
    answers = [mango.fetch_calls(key) for _ in range(3)]
    assert answers[0] is None  # `request` or `work`: no answer, even where some of the data is there
    assert answers[1] == answers[2]
    assert answers[1] is not None
    extensions = {str(user.user_id): str(user.extension) for user in mango.fetch_users()}
    return [statistics_users.add_extensions(entry, extensions) for entry in answers[1]]


@pytest.mark.parametrize("code", CODES)
def test_statistics_tell_what_notifications_told(
    cloud: MangoCloud, board: Board, mango: MangoClient, code: str
) -> None:
    """Of every sequence, the newer and the older pair give the entry that its notifications gave."""
    played = cloud.run_coroutine(cloud.play_sequence(code, board))
    heard = told([e for notice in played.notifications for e in vpbx.parse(notice.path, compact(notice.body), 1)])
    [entry] = ordered(mango)
    calls = told(statistics.entry_to_events(entry))
    now = int(time.time())
    key = mango.request_legs(now - 86400, now + 60)
    assert mango.fetch_legs(key) is None
    text = mango.fetch_legs(key)
    assert text is not None
    [rows] = statistics.csv_to_entries(text).values()
    legs = told(statistics.rows_to_events(rows))
    for found in (calls, legs):
        assert found.direction == heard.direction
        assert found.raw_client == heard.raw_client
        assert (found.talk_at, found.ended_at) == (heard.talk_at, heard.ended_at)
        assert found.end_reason == (
            heard.end_reason if found.legs else 0
        )  # legs of the voice menu are not in the newer pair
        assert found.all_legs_ended
        assert _talkers(found) == _talkers(heard)
        kept = {facts.id: facts.extension for facts in heard.recordings if facts.is_fetchable}
        assert {facts.id: facts.extension for facts in found.recordings if facts.is_fetchable} == kept
    if heard.direction == "in":
        assert calls.line == legs.line == heard.line
    both = told(
        [e for notice in played.notifications[:1] for e in vpbx.parse(notice.path, compact(notice.body), 1)]
        + statistics.entry_to_events(entry)
    )
    assert _talkers(both) == _talkers(heard)


def _talkers(entry: CallEntry) -> list[str | None]:
    return list(dict.fromkeys(talk.employee.extension for talk in entry.talks))


def test_pages_of_statistics(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    cloud.stats_polls = 0
    for _ in range(3):
        cloud.run_coroutine(cloud.play_sequence("S7", board))
    now = int(time.time())
    pages = []
    for offset in range(4):
        pages += mango.fetch_calls(mango.request_calls(now - 86400, now + 60, limit=1, offset=offset)) or []
    assert len({entry["entry_id"] for entry in pages}) == len(pages) == 3
    starts = [entry["context_start_time"] for entry in pages]
    assert all(one <= other for one, other in pairwise(starts))


@pytest.mark.parametrize("is_object", [False, True])
def test_the_lists_of_an_array_and_of_an_object(
    cloud: MangoCloud, board: Board, mango: MangoClient, is_object: bool
) -> None:
    """The documentation shows an array of days; four public clients expect one object, too."""
    cloud.stats_polls = 0
    board.statistics_shape.is_object = is_object
    now = int(time.time())
    assert mango.fetch_calls(mango.request_calls(now - 86400, now + 60)) == [], "no calls are no error"
    cloud.run_coroutine(cloud.play_sequence("S1", board))
    assert len(mango.fetch_calls(mango.request_calls(now - 86400, now + 60)) or []) == 1


@pytest.mark.parametrize(
    "data",
    [
        None, "", "calls", 7, {}, {"list": None}, {"list": {}}, {"list": "x"}, {"list": [1]}, [None], [{}],
        [{"list": None}], [{"list": []}, {"period": "2026-11-30"}],
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("with_status", [True, False])
def test_a_complete_answer_without_a_list_is_an_error(
    cloud: MangoCloud, mango: MangoClient, data: object, with_status: bool
) -> None:
    """And never "no calls", so that the window is not taken for compared."""
    answer = {"result": 1000, "data": data} | ({"status": "complete"} if with_status else {})
    cloud.rest_faults["stats/calls/result"] = RestFault("answer", body=answer)
    with pytest.raises(RequestRefused, match="no list of calls"):
        mango.fetch_calls("any-key")


def test_orders_that_are_gone(cloud: MangoCloud, mango: MangoClient) -> None:
    with pytest.raises(ResourceNotFound):
        mango.fetch_calls("no-such-key")
    with pytest.raises(ResourceNotFound):
        mango.fetch_legs("no-such-key")


@pytest.mark.parametrize(("start", "end", "limit"), [(0, 30 * 86400, 500), (10, 10, 500), (20, 10, 500), (0, 86400, 7)])
def test_orders_that_mango_would_refuse(mango: MangoClient, start: int, end: int, limit: int) -> None:
    with pytest.raises(ValueError, match=r"window|limit"):
        mango.request_calls(1776060000 + start, 1776060000 + end, limit)


# Recordings.


def recorded(cloud: MangoCloud, board: Board) -> str:
    played = cloud.run_coroutine(cloud.play_sequence("S1", board))
    return next(str(notice.body["recording_id"]) for notice in played.notifications if "recording_id" in notice.body)


def test_a_recording(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    recording_id = recorded(cloud, board)
    asked: list[str] = []
    with mango.open_recording(recording_id, asked.append) as download:
        content = b"".join(download.iter_chunks(1000))
    assert (download.status, download.content_type, download.size) == (200, "audio/mpeg", len(content))
    assert len(content) == board.call_log.recordings[recording_id].file_size
    [address] = asked
    assert address.startswith(cloud.files_url)
    with mango.open_recording(recording_id, asked.append, byte_range="bytes=10-19", play=True) as part:
        assert (part.status, b"".join(part.iter_chunks())) == (206, content[10:20])
        assert part.content_range == f"bytes 10-19/{len(content)}"
    with pytest.raises(ResourceNotFound):  # one-shot: the first access spent it
        mango.open_url(address, asked.append)


def test_a_recording_that_is_not_there_yet(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    recording_id = recorded(cloud, board)
    board.call_log.recordings[recording_id].is_stored = False
    for cloud.missing_recording_status in (200, 404):
        with pytest.raises(ResourceNotFound):
            mango.open_recording(recording_id, lambda url: None)
    board.call_log.recordings[recording_id].is_stored = True
    mango.open_recording(recording_id, lambda url: None).close()


def test_an_address_that_is_not_admitted(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    def admit(url: str) -> None:
        raise PermissionError(url)

    recording_id = recorded(cloud, board)
    with pytest.raises(PermissionError):
        mango.open_recording(recording_id, admit)
    assert len(cloud.tickets) == 1  # nobody went there


def test_a_file_that_breaks_off(cloud: MangoCloud, board: Board, mango: MangoClient) -> None:
    recording_id = recorded(cloud, board)
    cloud.cut_files_after = 20_000
    with mango.open_recording(recording_id, lambda url: None) as download, pytest.raises(TemporaryFailure):
        b"".join(download.iter_chunks())


# Commands.


def test_callback(cloud: MangoCloud, mango: MangoClient) -> None:
    mango.start_callback("bx24-1", "101", "+7 (916) 000-00-01", line_number="+74950000001", from_number="+79160000101")
    mango.start_callback("bx24-2", "101", "102")
    mango.start_group_callback("bx24-3", "300", "+79160000001", "74950000001")
    assert list(cloud.commands) == [
        (
            "commands/callback",
            {
                "command_id": "bx24-1",
                "from": {"extension": "101", "number": "79160000101"},
                "to_number": "79160000001",
                "line_number": "74950000001",
            },
        ),
        ("commands/callback", {"command_id": "bx24-2", "from": {"extension": "101"}, "to_number": "102"}),
        (
            "commands/callback_group",
            {"command_id": "bx24-3", "from": "300", "to": "79160000001", "line_number": "74950000001"},
        ),
    ]


def test_refused_commands(cloud: MangoCloud, mango: MangoClient) -> None:
    with pytest.raises(RequestRefused) as caught:
        mango.start_callback("bx24-2", "999", "79160000001")
    assert caught.value.code == 3330
    assert caught.value.describe("en") == "the number was not found"
    with pytest.raises(RequestRefused) as caught:
        mango.hang_up("bx24-3", "no-such-leg")
    assert caught.value.code == 4101
    with pytest.raises(RequestRefused) as caught:
        mango.route_leg("bx24-4", "no-such-leg", "102")
    assert caught.value.code == 4101
    assert not cloud.commands
    assert len(cloud.requests) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RestFault("close-before"), AnswerLost),
        (RestFault("close-after"), AnswerLost),
        (RestFault("http", 500), AnswerLost),
        (RestFault("html"), AnswerLost),
        (RestFault("hang", 3), AnswerLost),
        (RestFault("http", 503), TemporaryFailure),
        (RestFault("http", 429), TemporaryFailure),
        (RestFault("code", 2240), NotPermitted),
        (RestFault("code", 4001), RequestRefused),
    ],
)
def test_troubles_of_a_command(cloud: MangoCloud, board: Board, fault: RestFault, kind: type[MangoError]) -> None:
    impatient = MangoClient(cloud.api_url, board.pbx.api_key, board.pbx.api_salt, timeout=(5, 1))
    cloud.rest_faults["commands/callback"] = fault
    with pytest.raises(kind):
        impatient.start_callback("bx24-1", "101", "79160000001")
    assert cloud.requests.count("POST commands/callback") == 1
