"""No way into the network that we run in."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
import requests

from bx24app.bitrix24.errors import NeedsAdmin, NotSent
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter, NotAdmitted
from tests.support.scripted_server import scripted

INWARD = {
    "loopback": ["127.0.0.1", "127.8.8.8", "::1"],
    "this network, unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "private": ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fd12:3456::1"],
    "link-local, site-local": ["169.254.169.254", "fe80::1", "fe80::1%2", "fec0::1", "feff::1"],
    "shared": ["100.64.0.1", "100.127.255.255"],
    "protocol assignments": ["192.0.0.8", "192.0.0.170", "192.88.99.1", "2001:1::1", "2001:20::1", "2001:1ff::1"],
    "documentation": ["192.0.2.1", "198.51.100.7", "203.0.113.7", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "multicast, reserved": [
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "4000::1",
        "1::1",
        "5f00::1",
        "100::1",
        "100:0:0:1::1",
    ],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"],
    "IPv4-compatible": ["::10.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8"],
    "6to4": [
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:a9fe:a9fe::1",
        "2002:6440:1::1",
        "2002:c000:201::1",
        "2002:e000:1::1",
    ],
    "NAT64": ["64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::6440:1"],
    "NAT64 of the own network": ["64:ff9b:1::808:808", "64:ff9b:1:ffff::1", "64:ff9b:0:1::808:808"],
    "Teredo": ["2001:0:7f00:1::", "2001:0:808:808::f7f7:f7f7"],
}
OUTWARD = [
    "5.255.255.77",
    "185.178.208.10",
    "8.8.8.8",
    "2a02:6b8::2:242",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    # One address beyond a refused network on either side.
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "3ffe::1",
    "3fff:1000::1",
    "2620:fe::fe",
]
STDLIB_OPINIONS = (
    "is_global",
    "is_private",
    "is_reserved",
    "is_multicast",
    "is_unspecified",
    "is_loopback",
    "is_link_local",
    "is_site_local",
)


@pytest.fixture(params=[None, True, False], ids=["this Python", "Python says yes", "Python says no"])
def stdlib_opinion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ipaddress` says of an address differs between patch versions of Python; it must not matter."""
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address) if request.param is not None else ():
        for name in STDLIB_OPINIONS:
            monkeypatch.setattr(kind, name, property(lambda self: request.param), raising=False)


@pytest.mark.usefixtures("stdlib_opinion")
@pytest.mark.parametrize(
    "address", [pytest.param(address, id=f"{kind} {address}") for kind in INWARD for address in INWARD[kind]]
)
def test_inward_addresses_are_refused(address: str) -> None:
    assert not AddressPolicy().is_allowed(address)


@pytest.mark.usefixtures("stdlib_opinion")
@pytest.mark.parametrize("address", OUTWARD)
def test_public_addresses_are_admitted(address: str) -> None:
    assert AddressPolicy().is_allowed(address)


@pytest.mark.usefixtures("stdlib_opinion")
def test_only_what_the_operator_names_is_admitted_besides() -> None:
    private = AddressPolicy(private_networks=[ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00::/8")])
    assert private.is_allowed("10.20.3.4")
    assert private.is_allowed("::ffff:10.20.3.4")
    assert private.is_allowed("fd00::7")
    assert not private.is_allowed("10.21.0.1")
    assert not private.is_allowed("127.0.0.1")
    loopback = AddressPolicy(may_use_loopback=True)
    assert loopback.is_allowed("127.0.0.1")
    assert loopback.is_allowed("::1")
    assert loopback.is_allowed("::ffff:127.0.0.1")
    assert not loopback.is_allowed("192.168.0.1")
    assert not loopback.is_allowed("::127.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example/rest/",
        "ftp://portal.example/",
        "https:///rest/",
        "https://user@portal.example/",
        "https://u:p@portal.example/",
        "https://portal.example:22/",
        "https://portal.example:99999/",
        "https://portal.example:x/",
        "https://[::1/",
        "javascript:alert(1)",
        "//portal.example/",
        "portal.example",
        "",
        "https://portal.example\\@10.0.0.1/",
        "https://portal.example /",
        "https://portal.example\n/",
        "https://@portal.example/",
    ],
)
def test_only_plain_https_addresses_have_the_right_form(url: str) -> None:
    with pytest.raises(NotAdmitted):
        AddressPolicy().check_url_form(url)


@pytest.mark.parametrize("url", ["https://portal.example/rest/", "https://portal.example:8443/", "https://xn--80ak6aa92e.com/"])
def test_portals_addresses_have_the_right_form(url: str) -> None:
    AddressPolicy().check_url_form(url)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one list a question; what was asked is in the list that is given back."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        if not found:
            raise socket.gaierror(-2, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr("bx24app.bitrix24.ssrf_guard.socket.getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("answer", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"]])
def test_a_name_that_leads_inward_is_refused(monkeypatch: pytest.MonkeyPatch, answer: list[str]) -> None:
    resolving(monkeypatch, answer)
    with pytest.raises(NotAdmitted) as refused:
        AddressPolicy().check_url("https://portal.example/rest/")
    assert isinstance(refused.value, NeedsAdmin)
    assert refused.value.code == "address"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
def test_other_spellings_of_loopback_are_loopback(host: str) -> None:
    with pytest.raises((NotAdmitted, NotSent)):
        AddressPolicy().check_url(f"https://{host}/")


def test_a_name_that_nobody_knows_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [])
    with pytest.raises(NotSent):
        AddressPolicy().check_url("https://portal.example/")


def session_behind(addresses: AddressPolicy) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", GuardedAdapter(addresses))
    session.mount("https://", GuardedAdapter(addresses))
    return session


def test_a_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is asked once a connection; there is no second answer to use."""
    with scripted() as server:
        server.answer_with({"result": True})
        port = server.url.rsplit(":", 1)[1].rstrip("/")
        asked = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
        session = session_behind(AddressPolicy(may_use_loopback=True))
        assert session.post(f"http://portal.example:{port}/", timeout=5).json() == {"result": True}
        assert session.post(f"http://portal.example:{port}/", timeout=5).json() == {"result": True}
        assert asked == ["portal.example"]
        assert server.requests[0].headers["Host"] == f"portal.example:{port}"
        session.close()


def test_a_connection_inward_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as server:
        server.answer_with({"result": True})
        port = server.url.rsplit(":", 1)[1].rstrip("/")
        resolving(monkeypatch, ["127.0.0.1"])
        session = session_behind(AddressPolicy())
        with pytest.raises(NotAdmitted):
            session.post(f"http://portal.example:{port}/", timeout=5)
        assert server.requests == []
        session.close()
