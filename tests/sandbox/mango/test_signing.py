"""The published test vectors of the signature, and the two styles of JSON."""

from __future__ import annotations

import pytest

from bx24app.sandbox.mango.sequences import load_sequence
from bx24app.sandbox.mango.signing import compact_json, php_json, sign_link, sign_text

from .conftest import KEY, SALT

RECORDING = "MToxMDAwMDAwMToyNjQ1ODEwMDAwMTow"


@pytest.mark.parametrize(
    ("key", "salt", "text", "expected"),
    [
        (
            "<YOUR_API_KEY>", "<YOUR_API_SALT>", '{"key":"<REQUEST_KEY>"}',
            "515069b8c079df62f408e36dd7933912b8e86d833c5927ee77eb4b68d766c4f5",
        ),
        (
            "<YOUR_API_KEY>", "<YOUR_API_SALT>", '{"command_id":"your-command-id","call_id":"<CALL_ID>"}',
            "2d1d01246f52cec1fdb44f2a4d7091dc54f67e318369c0628201d66b5d336ef0",
        ),
        (KEY, SALT, "{}", "b8adab0f40447902490613a260b510c00769c4bdc7d40e28862edeec87fa8a3e"),
        (
            KEY, SALT, f'{{"recording_id":"{RECORDING}","action":"download"}}',
            "dcebe1976ef1544afda1fdb2ba7bad56084ebb94a2514ef6ba5b5d23bcbcd43f",
        ),
    ],
)  # fmt: skip
def test_forms(key: str, salt: str, text: str, expected: str) -> None:
    assert sign_text(key, text, salt) == expected


def test_first_event_of_the_first_sequence() -> None:
    text = compact_json(load_sequence("S1")[0].body)
    assert sign_text(KEY, text, SALT) == "1965d0b7afb014b29d0e2002723db9183ac8f810e0b4e383334d83116a7156b0"


def test_links() -> None:
    assert (
        sign_link(KEY, "1776063900", RECORDING, SALT)
        == "85dcc286ffb48940d52ad9f923782340585ab1954ae6fbdb54944172c51d3fc9"
    )
    assert sign_link("123", "1525597727500", "Rofkdgl33fd=", "789") == (
        "9867bfdc661049959450fbad35c10ef2a41120094bda492dd0f085ba4def7df0"
    )


def test_styles() -> None:
    assert compact_json({"a": "ж/", "b": 1}) == '{"a":"ж/","b":1}'
    assert php_json({"a": "ж/", "b": 1}) == '{"a":"\\u0436\\/","b":1}'
