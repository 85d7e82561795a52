"""telephony.externalCall.attachRecord: uploads, base64, addresses and the Drive."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from aiohttp import web

from tests.sandbox.bitrix.conftest import Raw

ATTACH = "telephony.externalCall.attachRecord"
MP3 = b"ID3\x04" + bytes(range(256)) * 8
NOT_FINISHED = "Call is not found in the statistic table. Looks like it is not finished yet."


def address(raw: Raw, call_id: str, name: str = "a.mp3") -> str:
    answer = raw.ok(ATTACH, CALL_ID=call_id, FILENAME=name)
    assert answer["fieldName"] == "file"
    return str(answer["uploadUrl"])


def upload(
    url: str, name: str = "a.mp3", content: bytes = MP3, field: str = "file", **headers: str
) -> requests.Response:
    return requests.post(url, files={field: (name, content, "audio/mpeg")}, headers=headers, timeout=20)


def attach(raw: Raw, call_id: str, name: str, content: bytes = MP3) -> int:
    return int(
        raw.ok(ATTACH, CALL_ID=call_id, FILENAME=name, FILE_CONTENT=base64.b64encode(content).decode())["FILE_ID"]
    )


def test_attach_works_only_after_finish(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    assert raw.fails(ATTACH, CALL_ID=call_id, FILENAME="a.mp3")[2] == NOT_FINISHED
    raw.finish(call_id)
    assert attach(raw, call_id, "a.mp3")


def test_a_second_recording_replaces_the_first(raw: Raw) -> None:
    call_id = raw.finished()
    first, second = attach(raw, call_id, "a.mp3"), attach(raw, call_id, "b.mp3", MP3 + b"2")
    assert raw.row(call_id).file_id == second
    assert list(raw.portal.files) == [second]
    assert first != second


def test_an_upload_leaves_the_replaced_file_on_the_drive(raw: Raw) -> None:
    call_id = raw.finished()
    upload(address(raw, call_id), "a.mp3")
    upload(address(raw, call_id), "b.mp3")
    assert [file.name for file in raw.portal.files.values()] == ["a.mp3", "b.mp3"]
    assert raw.row(call_id).file_id == list(raw.portal.files)[1]


def test_the_activity_plays_the_last_one(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Client", "+79061234567")
    call_id = raw.finished()
    attach(raw, call_id, "a.mp3")
    last = attach(raw, call_id, "b.mp3")
    assert raw.portal.activities[raw.row(call_id).activity_id or 0].files == [last]


@pytest.mark.parametrize("again", ["the same call", "another call"])
def test_names_are_unique_in_the_months_folder(raw: Raw, again: str) -> None:
    call_id = raw.finished()
    upload(address(raw, call_id), "a.mp3")
    other = call_id if again == "the same call" else raw.finished(PHONE_NUMBER="+79060000000")
    answer = upload(address(raw, other), "a.mp3")
    assert (answer.status_code, answer.json()["error"]) == (400, "DISK_OBJ_22000")


def test_another_months_folder_has_names_of_its_own(raw: Raw) -> None:
    attach(raw, raw.finished(), "a.mp3")
    attach(raw, raw.finished(CALL_START_DATE="2025-01-15T10:00:00+03:00"), "a.mp3")
    assert "2025-01" in {file.folder for file in raw.portal.files.values()}


def test_the_extension_is_in_lower_case(raw: Raw) -> None:
    call_id = raw.finished()
    wrong = "Wrong file extension. Only wav and mp3 are allowed"
    assert raw.fails(ATTACH, CALL_ID=call_id, FILENAME="a.MP3", FILE_CONTENT="SUQz")[2] == wrong
    for name in ("a.MP3", "a.ogg", "mp3"):
        assert upload(address(raw, call_id), name).json()["error_description"] == wrong
    assert upload(address(raw, call_id), "a.wav").ok


def test_the_uploads_answer_has_no_time_and_is_a_request_of_its_own(raw: Raw) -> None:
    url = address(raw, raw.finished())
    before = raw.portal.hits
    answer = upload(url)
    assert list(answer.json()) == ["result"]
    assert raw.portal.hits == before + 1
    (file,) = raw.portal.files.values()
    assert (file.content, file.size, file.sha256) == (MP3, len(MP3), hashlib.sha256(MP3).hexdigest())


def test_the_address_is_signed_and_bound_to_the_token_of_its_request(raw: Raw) -> None:
    url = address(raw, raw.finished())
    token = parse_qs(urlsplit(url).query)["token"][0]
    scope, text, signature = token.split("|")
    forged = base64.b64encode(b"_=1&callId=another").decode()
    for bad in (f"{scope}|{forged}|{signature}", f"{scope}|{text}|{'0' * 64}"):
        changed = requests.Request("POST", url.split("?")[0], params={"auth": raw.token, "token": bad}).prepare().url
        answer = upload(str(changed))
        assert (answer.status_code, answer.json()["error"]) == (403, "ACCESS_DENIED")
        assert answer.json()["error_description"] == "Link check failed"
    swapped = url.replace(raw.token, raw.open().fields["AUTH_ID"])
    assert upload(swapped).status_code == 403
    assert upload(url).ok


def test_for_a_token_in_a_header_the_address_has_no_auth_and_the_header_is_repeated(raw: Raw) -> None:
    header = {"Authorization": f"Bearer {raw.token}"}
    body = {"CALL_ID": raw.finished(), "FILENAME": "a.mp3"}
    answer = requests.post(f"{raw.portal.url}/rest/{ATTACH}", json=body, headers=header, timeout=20)
    url = answer.json()["result"]["uploadUrl"]
    assert "auth=" not in url
    assert upload(url).json()["error"] == "NO_AUTH_FOUND"
    assert upload(url, **header).ok


def test_the_part_is_called_file(raw: Raw) -> None:
    url = address(raw, raw.finished())
    assert upload(url, field="record").json()["error_description"] == "Error: required parameter file is not found"


def test_an_upload_can_not_be_in_a_batch_but_attach_can(raw: Raw) -> None:
    call_id = raw.finished()
    with raw.portal.expect_violations():
        result = raw.batch(up=f"upload?callId={call_id}", a=f"{ATTACH}?CALL_ID={call_id}&FILENAME=a.mp3")
    assert result["result_error"]["up"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert "uploadUrl" in result["result"]["a"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "File content is empty."),
        ("###", "File content is not properly encoded. Base64 encoding is expected."),
        (base64.b64encode(b"<html>").decode(), "This file type is not allowed. Only audio files are accepted."),
    ],
)
def test_base64_is_checked(raw: Raw, content: str, text: str) -> None:
    call_id = raw.finished()
    assert raw.fails(ATTACH, CALL_ID=call_id, FILENAME="a.mp3", FILE_CONTENT=content)[2] == text


def test_neither_file_nor_address(raw: Raw) -> None:
    assert raw.fails(ATTACH, CALL_ID=raw.finished())[2].startswith("Required parameters are not set")


def test_a_record_url_is_fetched_within_the_request(raw: Raw) -> None:
    site = web.Application()
    fetched: list[str] = []

    async def give(request: web.Request) -> web.StreamResponse:
        if request.path == "/gone.mp3":
            fetched.append(request.path)
            raise web.HTTPGone
        return web.Response(body=MP3)

    site.router.add_get("/{name}", give)
    url = raw.sandbox.add_site("files", site)
    call_id = raw.finished()
    assert raw.fails(ATTACH, CALL_ID=call_id, RECORD_URL=f"{url}/gone.mp3")[2] == "Server returns HTTP error code 410"
    assert fetched, "within the request"
    file_id = raw.ok(ATTACH, CALL_ID=call_id, RECORD_URL=f"{url}/x", FILENAME="call.mp3")["FILE_ID"]
    assert (raw.portal.files[file_id].name, raw.portal.files[file_id].via) == ("call.mp3", "url")


def test_large_recordings_are_kept_by_size_and_hash(raw: Raw) -> None:
    raw.portal.keep_bytes = 100
    assert upload(address(raw, raw.finished())).ok
    (file,) = raw.portal.files.values()
    assert (file.content, file.size, file.sha256) == (b"", len(MP3), hashlib.sha256(MP3).hexdigest())


def test_the_drive_plays_with_ranges(raw: Raw) -> None:
    file_id = attach(raw, raw.finished(), "a.mp3")
    url = f"{raw.portal.url}/sandbox/files/{file_id}/a.mp3"
    assert requests.get(url, timeout=20).content == MP3
    part = requests.get(url, headers={"Range": "bytes=2-5"}, timeout=20)
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, MP3[2:6], f"bytes 2-5/{len(MP3)}")


def test_a_full_disk(raw: Raw) -> None:
    url = address(raw, raw.finished())
    raw.portal.switches.switch_on("disk_full", times=1)
    assert "free space" in upload(url).json()["error_description"]
    assert upload(url).ok
