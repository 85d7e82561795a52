"""The employee mapping as a file, in the frame: a preview first, nothing saved before it is confirmed, a conflict where
others saved.
"""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from bx24app.domain.settings import EmployeeSettings, PbxSettings, Settings
from bx24app.models import Audit, Call, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.support.frame_pages import FakeMango, Frame, has
from tests.support.frame_pages import frame as frame
from tests.support.frame_pages import mango as mango
from tests.web.conftest import claim

PAGE = "/frame/pbxs/moscow/employees/file"
DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Moscow",
            employees=(
                EmployeeSettings(extension="101", user_id=11, numbers=("+79160000101",)),
                EmployeeSettings(extension="102", user_id=12),
            ),
        ),
    )
)


@pytest.fixture(autouse=True)
def set_up(frame: Frame, mango: FakeMango) -> None:
    frame.save(DOCUMENT)


def chosen(frame: Frame, client: FlaskClient, content: bytes) -> str:
    boundary, body = encode_multipart({"file": FileStorage(io.BytesIO(content), "staff.csv")})
    headers = claim(frame.site, frame.portal, lang="en") | {"HX-Request": "true"}
    said = client.post(PAGE, data=body, headers=headers, content_type=f"multipart/form-data; boundary={boundary}")
    assert said.status_code == 200, said.text
    return said.text


def mapped(frame: Frame) -> dict[str, int]:
    return {one.extension: one.user_id for one in frame.settings().by_key["moscow"].employees}


def test_a_file_is_shown_first_and_carried_out_then(frame: Frame, client: FlaskClient) -> None:
    with frame.site.app_context():
        pbx = db.session.query(PbxRow).one()
        for _ in range(3):
            at = utcnow() - timedelta(days=1)
            db.session.add(
                Call(
                    portal_id=frame.portal, pbx_id=pbx.id, pbx_key="moscow", entry_id=str(_), started_at=at, user_id=12
                )
            )
        db.session.commit()
    text = "extension;name;mobiles\n101;Petrov Ivan;\n102;;\n104;Anna Smirnova;89160000104\n105;Gone Away;\n"
    said = chosen(frame, client, text.encode("cp1251"))
    assert mapped(frame) == {"101": 11, "102": 12}, "nothing is saved by looking"
    assert "New: 1, changed: 1, removed: 1, unchanged: 0." in said
    assert "1 extension will have no employee; their employees talked in 3 calls yesterday" in said
    assert "line 5, “Gone Away”: dismissed in Bitrix24" in said
    for extension in ("101", "102", "104"):
        assert has(said, f"change-{extension}")
    said = frame.post(f"{PAGE}/apply", {"text": text})
    assert has(said, "saved")
    assert mapped(frame) == {"101": 12, "104": 11}
    assert frame.settings().by_key["moscow"].by_extension["104"].numbers == ("89160000104",)


def test_what_others_saved_meanwhile_is_not_overwritten(frame: Frame, client: FlaskClient) -> None:
    version = frame.number()
    frame.save(DOCUMENT.model_copy(update={"pbxs": (DOCUMENT.pbxs[0].model_copy(update={"name": "Other"}),)}))
    said = frame.post(f"{PAGE}/apply", {"text": "extension;user_id\n102;11\n", "version": str(version)}, status=409)
    assert has(said, "conflict")
    assert has(said, "preview"), "what was chosen is still there"
    assert mapped(frame) == {"101": 11, "102": 12}


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"extension;user_id\n", b"extension;user_id;mobiles\n101;11;+7 916 000-01-01\n"]
)
def test_a_file_without_changes_says_so(frame: Frame, client: FlaskClient, content: bytes) -> None:
    said = chosen(frame, client, content)
    assert has(said, "no-change")
    frame.post(f"{PAGE}/apply", {"text": content.decode()})
    assert mapped(frame) == {"101": 11, "102": 12}


def test_what_is_no_table_is_told(frame: Frame, client: FlaskClient) -> None:
    said = chosen(frame, client, bytes(range(256)) * 20)
    assert has(said, "file-faults")
    assert "the first line has no “extension” column" in said


def test_the_table_goes_out_by_ticket_and_comes_in_unchanged(frame: Frame, client: FlaskClient) -> None:
    headers = claim(frame.site, frame.portal, lang="en")
    url = client.post(f"{PAGE}/out", headers=headers).get_json()["url"]
    said = client.get(url)
    assert said.headers["Content-Disposition"] == 'attachment; filename="employees-moscow.csv"'
    assert said.text.splitlines() == [
        "\ufeffextension;user_id;email;name;mobiles",
        "101;11;Anna@example.ru;Anna Smirnova;'+79160000101",
        "102;12;;Petrov Ivan;",
    ]
    assert client.get(url.replace("moscow.csv", "other.csv")).status_code in (401, 403, 404)
    assert has(chosen(frame, client, said.data), "no-change")
    with frame.site.app_context():
        assert db.session.query(Audit).filter_by(portal_id=frame.portal, what="employees exported").count() == 1


def test_employees_who_administer_nothing_get_neither(site: Flask, client: FlaskClient, frame: Frame) -> None:
    headers = claim(site, frame.portal, admin=False)
    assert client.get(PAGE, headers=headers).status_code == 403
    assert client.post(f"{PAGE}/out", headers=headers).status_code == 403


def test_ten_thousand_rows(frame: Frame, client: FlaskClient) -> None:
    with frame.site.app_context():
        for number in range(10_000):
            db.session.add(PortalUser(portal_id=frame.portal, user_id=20_000 + number, name=f"Сотрудник Номер{number}"))
        db.session.commit()
    rows = (f"{1000 + number};Номер{number} Сотрудник;+7 916 {number:07}" for number in range(10_000))
    text = "extension;name;mobiles\r\n" + "\r\n".join(rows) + "\r\n"
    said = chosen(frame, client, text.encode())
    assert "New: 10000, changed: 0, removed: 0, unchanged: 0." in said
    assert said.count('data-testid="change-') == 200
    assert has(frame.post(f"{PAGE}/apply", {"text": text}), "saved")
    found = mapped(frame)
    assert (len(found), found["1777"]) == (10_002, 20_777)
    assert found["101"] == 11, "what the file does not name stays"
    assert has(chosen(frame, client, text.encode("cp1251")), "no-change")
