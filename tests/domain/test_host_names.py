"""A host name has one form on the wire, whichever form somebody writes."""

from __future__ import annotations

import pytest

from bx24app.domain import host_names

ASCII = "xn--e1aarjeur.xn--p1ai"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("телефон.рф", ASCII),
        (" Телефон.РФ ", ASCII),
        ("телефон。рф", ASCII),  # the ideographic full stop
        (f"{ASCII.upper()}:443", ASCII),
        ("зеле\u0308ный.рф", "xn--e1adhhk8fub.xn--p1ai"),  # two marks for one letter
        ("телефон.рф:8443", f"{ASCII}:8443"),
        ("Portal.Bitrix24.ru:80", "portal.bitrix24.ru"),
        ("my_portal.example.ru", "my_portal.example.ru"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
    ],
)
def test_names_are_compared_in_one_form(written: str, normal: str) -> None:
    assert host_names.normalise_host(written) == normal


@pytest.mark.parametrize("name", ["[::", "телефон..рф", "телефон.рф:порт", "ж" * 64 + ".рф"])
def test_a_name_that_is_none_is_an_error_or_stays(name: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        host_names.normalise_host(name)
    assert host_names.to_ascii_netloc(name) == name
    assert host_names.to_ascii_url(f"https://{name}/rest/") == f"https://{name}/rest/"


def test_an_address_keeps_all_but_its_host() -> None:
    assert host_names.to_ascii_url("https://Телефон.рф:8443/rest/?q=ж") == f"https://{ASCII}:8443/rest/?q=ж"
    assert host_names.to_ascii_url("https://a@телефон.рф/") == "https://a@телефон.рф/"


def test_people_read_cyrillic() -> None:
    assert host_names.readable_host(f"{ASCII}:8443") == "телефон.рф:8443"
    for name in ("portal.bitrix24.ru", "xn--999999999.ru", ""):
        assert host_names.readable_host(name) == name
