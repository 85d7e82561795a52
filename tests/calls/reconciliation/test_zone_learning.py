"""Whatever zone a PBX reads the window in: every call of the window is found, and the zone is learnt where calls show
it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24app.calls.reconciliation import zone_learning
from bx24app.calls.reconciliation.statistics_requests import StatisticsRequest
from bx24app.calls.reconciliation.zone_learning import ZoneState
from bx24app.mango import statistics_zone
from bx24app.mango.statistics_zone import ZONES, Span

MOSCOW, KRASNOYARSK = "Europe/Moscow", "Asia/Krasnoyarsk"
HOUR = 3600
DAYS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds


class Pbx:
    """A PBX that reads windows in `zone`, and what is known of it."""

    def __init__(self, zone: str, calls: list[Span], own: str | None = None) -> None:
        self.zone, self.calls = zone, calls
        self.state = ZoneState(None, statistics_zone.list_zones(own))
        self.orders = 0

    def learn(self, pbx_id: int, zone: str | None) -> None:
        del pbx_id
        self.state = ZoneState(zone, self.state.zones)

    def ask(self, order: StatisticsRequest) -> list[Span]:
        self.orders += 1
        start, end, zones = zone_learning.window_to_ask(order, self.state)
        window = statistics_zone.window_in(zones, start, end)
        first, last = (wall.replace(tzinfo=ZoneInfo(self.zone)).timestamp() for wall in window)
        return [call for call in self.calls if first <= call.start <= last]

    def find(self, start: int, end: int) -> list[Span]:
        """The calls that the program takes from the answers."""
        order: StatisticsRequest | None = StatisticsRequest(1, start, end)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(zone_learning, "_store_zone", self.learn)
            for _ in range(40):
                assert order is not None
                order = StatisticsRequest.from_job(zone_learning.with_zone(order, self.state).as_job())
                spans = self.ask(order)
                following = zone_learning.find_next_order(order, self.state, spans)
                if following is None:
                    is_wide = zone_learning.is_wide(order)
                    return [span for span in spans if not is_wide or order.start <= span.start <= order.end]
                order = following
        raise AssertionError("the questions never end")


def call(at: int, seconds: int = 120) -> Span:
    return Span(at, at + seconds)


NOW = int(datetime(2026, 3, 2, 6, 0, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("earlier", [[], range(1, 30)], ids=["nothing before", "a call each hour before"])
@pytest.mark.parametrize("length", [HOUR + 600, 24 * HOUR, 27 * 24 * HOUR])
def test_every_call_of_the_window_is_found(zone: str, earlier: range, length: int) -> None:
    recent = [call(NOW - 1800), call(NOW - 700)]
    pbx = Pbx(zone, [call(NOW - hours * HOUR - 60) for hours in earlier] + recent)
    wanted = [span for span in pbx.calls if NOW - length <= span.start <= NOW]
    assert [span for span in pbx.find(NOW - length, NOW) if NOW - length <= span.start] == wanted
    assert pbx.state.known == zone
    before = pbx.orders
    assert pbx.find(NOW - length, NOW) == wanted
    assert pbx.orders == before + 1, "what is known is not asked again"


def test_moscow_costs_nothing_where_a_recent_call_shows_it() -> None:
    pbx = Pbx(MOSCOW, [call(NOW - 900)])
    assert pbx.find(NOW - HOUR, NOW) == [call(NOW - 900)]
    assert (pbx.orders, pbx.state.known) == (1, MOSCOW)


def test_without_any_call_nothing_is_learnt() -> None:
    pbx = Pbx(KRASNOYARSK, [])
    assert pbx.find(NOW - HOUR, NOW) == []
    assert (pbx.orders, pbx.state.known) == (2, None)


@pytest.mark.parametrize("seconds", [1200, 2400])
def test_long_calls_show_no_zone_and_are_found(seconds: int) -> None:
    """Whether Mango looks at their beginning or at their end is not documented."""
    pbx = Pbx(KRASNOYARSK, [call(NOW - 3000, seconds)])
    assert pbx.find(NOW - HOUR, NOW) == pbx.calls
    assert pbx.state.known is None


def test_a_zone_of_the_portal_is_tried() -> None:
    pbx = Pbx("Asia/Novosibirsk", [call(NOW - 900)], own="Asia/Novosibirsk")
    assert pbx.find(NOW - HOUR, NOW) == pbx.calls
    assert pbx.state.known == "Asia/Novosibirsk"


def test_a_zone_that_nobody_has_is_not_learnt() -> None:
    pbx = Pbx("Africa/Lagos", [call(NOW - 900)])
    assert pbx.find(NOW - HOUR, NOW) == pbx.calls
    assert pbx.state.known is None


def test_what_is_known_is_forgotten_where_answers_contradict() -> None:
    pbx = Pbx(KRASNOYARSK, [call(NOW - hours * HOUR - 60) for hours in range(30)])
    pbx.state = ZoneState(MOSCOW, pbx.state.zones)
    wanted = [span for span in pbx.calls if span.start >= NOW - HOUR]
    assert pbx.find(NOW - HOUR, NOW) == wanted
    assert pbx.state.known == KRASNOYARSK


def test_an_order_of_moscow_can_be_read_by_an_older_version() -> None:
    assert not {"zone", "near"} & StatisticsRequest(1, 2, 3, zone=MOSCOW).as_job().keys()
    probe = StatisticsRequest(1, 2, 3, zone=MOSCOW, near=2)
    assert StatisticsRequest.from_job(probe.as_job()) == probe


@settings(max_examples=60, deadline=None)
@given(
    day=DAYS,
    zone=st.sampled_from(ZONES),
    own=st.sampled_from(["Europe/Berlin", "Asia/Novosibirsk", "America/New_York", None]),
    in_own=st.booleans(),
    ago=st.lists(st.tuples(st.integers(0, 60 * HOUR), st.integers(0, 3 * HOUR)), max_size=12),
    length=st.integers(60, 40 * HOUR),
)
def test_any_calls_on_any_day(
    day: datetime, zone: str, own: str | None, in_own: bool, ago: list[tuple[int, int]], length: int
) -> None:
    """Summer time included: in the hour that a clock lives through twice a call may be found outside the window too."""
    now = int(day.timestamp())
    pbx = Pbx(own if in_own and own else zone, sorted(call(now - before, seconds) for before, seconds in ago), own)
    for _ in range(2):
        found = pbx.find(now - length, now)
        turn = 0 if _same_offset(pbx.zone, now - 2 * 86400, now + 86400) else HOUR
        wanted = [span for span in pbx.calls if now - length + turn <= span.start <= now - turn]
        assert set(found) >= set(wanted)
        assert all(now - length - turn <= span.start <= now + turn for span in found)


def _same_offset(zone: str, first: int, last: int) -> bool:
    hours = range(first, last, HOUR)
    return len({datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset() for at in hours}) == 1
