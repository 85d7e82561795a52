"""Every bound in bytes has one in pieces: how many fields a form may have, and who may send a large one."""

from __future__ import annotations

import time

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from bx24app.infra.http_front.admission import SMALL_BODY_BYTES
from bx24app.web.base.request import MAX_FIELDS, MAX_FIELDS_OF_SESSION
from tests.web.conftest import claim

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/", "/install", "/bitrix24/events", "/place/lead", "/frame/rules/body"])
def test_a_stranger_sends_few_fields_and_few_bytes(client: FlaskClient, path: str) -> None:
    allowed = client.post(path, data="a&" * (MAX_FIELDS - 1) + "a", content_type=FORM)
    assert allowed.status_code != 413
    assert client.post(path, data="a&" * MAX_FIELDS + "a", content_type=FORM).status_code == 413
    assert client.post(path, data="a=" + "b" * SMALL_BODY_BYTES, content_type=FORM).status_code == 413
    parts = {f"field{number}": "a" for number in range(MAX_FIELDS + 1)}
    assert client.post(path, data=parts, content_type="multipart/form-data").status_code == 413


def test_a_page_with_a_session_sends_more(site: Flask, client: FlaskClient, portal: int) -> None:
    header = claim(site, portal)
    form = "whole=1&" + "&".join(f"name{number}=b" for number in range(MAX_FIELDS * 2))
    assert client.post("/frame/rules/body", data=form, content_type=FORM, headers=header).status_code != 413
    many = "a&" * MAX_FIELDS_OF_SESSION + "a"
    assert client.post("/frame/rules/body", data=many, content_type=FORM, headers=header).status_code == 413


def test_a_form_of_millions_of_fields_is_counted_and_not_parsed(client: FlaskClient) -> None:
    began = time.process_time()
    for _ in range(20):
        assert client.post("/", data=b"a&" * 32_000, content_type=FORM).status_code == 413
    assert time.process_time() - began < 3


def test_a_nul_in_the_address_reads_as_a_replacement_character(site: Flask) -> None:
    with site.test_request_context("/frame/calls?line=2k%00v&line=1&q=%00"):
        assert request.args.getlist("line") == ["2k\ufffdv", "1"]
        assert request.args["q"] == "\ufffd"
