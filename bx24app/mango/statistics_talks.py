"""Who talked with the client on which leg of an entry of `stats/calls`, and from when. Pure.

A consultation's leg begins while a colleague talks with the client. The client is on it only after the colleague has
left. Mango marks such a leg, or the colleague's, as `ConsultTransfer`; live accounts may also name the colleague in
`caller_extension`. When the colleague leaves, live accounts go on with a third leg of the same second employee.
"""

from __future__ import annotations

from bx24app.domain.calls.events import Direction
from bx24app.mango.statistics_schema import CallStatistics, StatisticsLeg

NamedLegs = list[tuple[str, StatisticsLeg]]
"""(id of the leg, leg)."""


def name_callers(entry: CallStatistics, named: NamedLegs) -> NamedLegs:
    """The legs with `caller_extension` where it can be inferred: on a consultation the colleague who talked when it
    began, on an internal call the employee who made it."""
    legs = [leg for _, leg in named]
    return [(name, _with_caller(entry, leg, legs)) for name, leg in named]


def _with_caller(entry: CallStatistics, leg: StatisticsLeg, legs: list[StatisticsLeg]) -> StatisticsLeg:
    if leg.caller_extension or leg.is_group or not leg.is_user:
        return leg
    caller = _consulting_colleague(leg, legs)
    if caller is None and entry.is_internal and entry.caller_extension != leg.call_abonent_extension:
        caller = entry.caller_extension
    return leg.model_copy(update={"caller_extension": caller}) if caller else leg


def _consulting_colleague(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> str | None:
    """Whose talk the consultation on this leg interrupted; None: it is no consultation, or nobody talked."""
    start = leg.call_start_time or 0
    if leg.BlindTransfer:
        return None
    talking = [
        other
        for other in legs
        if other is not leg and not other.is_group and other.call_answer_time and other.call_answer_time <= start
        if (other.call_end_time is None or other.call_end_time >= start) and _employee(other) is not None
        if _employee(other) != leg.call_abonent_extension and (leg.ConsultTransfer or other.ConsultTransfer)
    ]
    # Who goes on talking comes before who left in this very second.
    talking.sort(key=lambda other: (other.call_end_time != start, other.call_answer_time or 0))
    return _employee(talking[-1]) if talking else None


def _employee(leg: StatisticsLeg) -> str | None:
    """The extension of the employee on this leg: on a dialled number the one who dialled."""
    return leg.call_abonent_extension if leg.is_user else leg.caller_extension


def _transfer_time(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> int | None:
    """When the colleague who had called this leg handed it over to the client; None: nobody did."""
    begun, over = leg.call_answer_time or leg.call_start_time or 0, leg.call_end_time
    caller = leg.caller_extension
    ends = [
        other.call_end_time
        for other in legs
        if other is not leg and not other.is_group and other.call_end_time and other.call_answer_time
        if caller is None or _employee(other) == caller
    ]
    return max((end for end in ends if end >= begun and (over is None or end < over)), default=None)


def has_client(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> bool:
    """Whether the client is on this leg. A consultation of two colleagues that neither left is without the client."""
    if leg.caller_extension is None or not leg.is_user or leg.BlindTransfer:
        return True
    return _transfer_time(leg, legs) is not None


def leg_talk_start(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> int | None:
    """When the leg's talk with the client began. After a consultation it begins when the colleague who had called
    leaves."""
    if not leg.call_answer_time or not (leg.ConsultTransfer or leg.caller_extension) or leg.BlindTransfer:
        return leg.call_answer_time
    return max(leg.call_answer_time, (_transfer_time(leg, legs) if leg.is_user else None) or 0)


def talk_legs(direction: Direction, legs: list[StatisticsLeg]) -> list[StatisticsLeg]:
    """Legs on which the client talked: answered, not a group's own, not the employee's half of a callback."""
    halves = direction == "out" and any(not leg.is_user and not leg.is_group for leg in legs)
    talked = [
        leg
        for leg in legs
        if leg.call_answer_time and not leg.is_group and (direction == "internal" or has_client(leg, legs))
        if not (halves and leg.is_user and not leg.is_transfer)
    ]
    return sorted(talked, key=lambda leg: leg.call_answer_time or 0)
