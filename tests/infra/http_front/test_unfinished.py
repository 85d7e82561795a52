"""Whose unfinished body is cut off at a bound."""

from __future__ import annotations

from bx24app.infra.http_front.unfinished import UnfinishedBodies, network_of


def test_at_the_bound_of_an_address_its_own_oldest_goes() -> None:
    bodies = UnfinishedBodies(10, 2)
    assert [bodies.add(name, "192.0.2.1") for name in "abc"] == [None, None, "a"]
    assert bodies.add("d", "192.0.2.2") is None
    bodies.remove("b")
    assert bodies.add("e", "192.0.2.1") is None
    assert len(bodies) == 3


def test_at_the_bound_over_all_the_oldest_goes() -> None:
    bodies = UnfinishedBodies(2, 2)
    assert [bodies.add(name, f"192.0.2.{name}") for name in "123"] == [None, None, "1"]
    assert bodies.add("3", "192.0.2.3") is None, "it is counted once"
    bodies.remove("1")
    assert len(bodies) == 2


def test_a_network_of_ipv6_is_one_sender() -> None:
    bodies = UnfinishedBodies(10, 1)
    assert bodies.add("a", "2001:db8::1") is None
    assert bodies.add("b", "2001:db8::2") == "a"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("no address: at all") == "no address: at all"
