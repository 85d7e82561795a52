"""USE CASE: calls of the journal that fit a filter, the latest first, in pages that stay quick however many calls there are.

A page follows one index in its order (of the employee, the client, the line, the PBX, what has a problem, or all) and looks at no more
than `WINDOW` calls of it; where too few fit, the answer says how far it looked, and the next page goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, TextClause, literal, select, text, tuple_
from sqlalchemy.orm import Session

from bx24app.domain import phone
from bx24app.models import Call, CallPerson
from bx24app.models.base import Moment
from bx24app.models.calls import PROBLEM_CONDITION

PAGE_SIZE = 50
SCAN_LIMIT = 20_000
"""Calls that one page looks at most."""
DIRECTIONS = ("in", "out", "callback", "internal")
OUTCOMES = ("answered", "missed", "failed")
FULL_NUMBER_DIGITS = 10
"""Digits from which a number that is looked for is a whole one, found by its index; fewer are looked for within numbers."""
_SEPARATOR = "_"
_Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What the list leaves out; empty lets everything through. `line`: LINE_NUMBER; `since`, `until`: days of the portal, both included."""

    q: str = ""
    pbx: str = ""
    line: str = ""
    direction: str = ""
    outcome: str = ""
    employee: int | None = None
    since: date | None = None
    until: date | None = None
    problems: bool = False

    @classmethod
    def from_params(cls, asked: Mapping[str, str]) -> CallFilter:
        """From a form or an address; what means nothing is left out."""
        employee = asked.get("employee", "")
        return cls(
            q=asked.get("q", "").strip()[:64],
            pbx=asked.get("pbx", ""),
            line=asked.get("line", ""),
            direction=asked.get("direction", "") if asked.get("direction") in DIRECTIONS else "",
            outcome=asked.get("outcome", "") if asked.get("outcome") in OUTCOMES else "",
            employee=int(employee) if re.fullmatch(r"\d{1,9}", employee) else None,
            since=parse_day(asked.get("since", "")),
            until=parse_day(asked.get("until", "")),
            problems=bool(asked.get("problems")),
        )

    def as_params(self) -> dict[str, str]:
        """As parameters of an address; `read` gives the same filter back."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: "1" if value is True else str(value) for name, value in values.items() if value}

    @property
    def is_empty(self) -> bool:
        """Does it let everything through?"""
        return not self.as_params()


def parse_day(text: str) -> date | None:
    """The day of `2026-01-31`; None: none, or at the ends of time, where another zone has no such day."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1 < found.year < 9999 else None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of the journal: the page below it holds only older calls."""

    started_at: datetime
    call_id: int

    @classmethod
    def from_text(cls, text: str) -> Cursor | None:
        """None: no place, or none of ours."""
        at, _, number = text.rpartition(_SEPARATOR)
        try:
            found = datetime.fromisoformat(at.replace(" ", "+"))
            there = found.tzinfo is not None and 1 < found.year < 9999  # at the ends of time another zone has no such moment
            return cls(found, int(number)) if there and len(number) < 19 else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.started_at.isoformat()}{_SEPARATOR}{self.call_id}"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`below`: where the next page begins, None: there is none. `looked`: the page ended before it was full, having looked so far."""

    calls: list[Call]
    next_cursor: Cursor | None = None
    scanned_to: datetime | None = None


def find_calls(
    session: Session, portal_id: int, wanted: CallFilter, zone: str, viewer: int | None = None, below: Cursor | None = None
) -> SearchPage:
    """One page. `viewer`: only calls of this employee, whatever the filter asks for; `zone`: IANA name, for days."""
    plan = _plan_query(portal_id, wanted, zone, viewer)
    bounds = list(plan.time_bounds)
    if below is not None:
        bounds += [plan.cursor_columns < _cursor_values(below), plan.time_column <= below.started_at]
    edge = None
    if plan.row_conditions:
        edge = session.execute(
            select(*plan.order_columns).where(*plan.index_conditions, *bounds).order_by(*plan.latest_first).offset(SCAN_LIMIT - 1).limit(1)
        ).first()
    if edge is not None:
        # The moments once more: PostgreSQL cannot estimate how much a pair leaves, and would read the whole table.
        bounds += [plan.cursor_columns >= _cursor_values(Cursor(*edge)), plan.time_column >= edge[0]]
    query = plan.query.where(*plan.index_conditions, *bounds, *plan.row_conditions).order_by(*plan.latest_first).limit(PAGE_SIZE + 1)
    calls = list(session.scalars(query))
    if len(calls) > PAGE_SIZE:
        last = calls[PAGE_SIZE - 1]
        return SearchPage(calls[:PAGE_SIZE], Cursor(last.started_at, last.id))
    if edge is not None:
        return SearchPage(calls, Cursor(*edge), edge[0])
    return SearchPage(calls)


def filtered_query(portal_id: int, wanted: CallFilter, zone: str, viewer: int | None = None) -> Select[Call]:
    """All of them as a query without an order, for exports."""
    plan = _plan_query(portal_id, wanted, zone, viewer)
    return plan.query.where(*plan.index_conditions, *plan.time_bounds, *plan.row_conditions)


@dataclass(frozen=True, slots=True)
class _QueryPlan:
    """`follows`: the beginning of the index that gives the order; `others`: what is looked at call by call."""

    query: Select[Call]
    time_column: Any
    id_column: Any
    index_conditions: list[_Condition]
    time_bounds: list[ColumnElement[bool]]
    row_conditions: list[_Condition]

    @property
    def order_columns(self) -> tuple[Any, Any]:
        return self.time_column, self.id_column

    @property
    def latest_first(self) -> tuple[Any, Any]:
        return self.time_column.desc(), self.id_column.desc()

    @property
    def cursor_columns(self) -> Any:
        return tuple_(self.time_column, self.id_column)


def _cursor_values(place: Cursor) -> Any:
    return tuple_(literal(place.started_at, Moment()), literal(place.call_id))


def _plan_query(portal_id: int, wanted: CallFilter, zone: str, viewer: int | None) -> _QueryPlan:
    person = viewer if viewer is not None else wanted.employee
    others = _filter_conditions(wanted)
    follows: list[_Condition]
    if person is not None:
        query = select(Call).join(CallPerson, CallPerson.call_id == Call.id)
        follows = [CallPerson.portal_id == portal_id, CallPerson.user_id == person]
        at, number = CallPerson.started_at, CallPerson.call_id
    else:
        query, follows, at, number = select(Call), [Call.portal_id == portal_id], Call.started_at, Call.id
        # The narrowest index first; what leads is no longer looked at call by call.
        lead = next((name for name in ("number", "problems", "line", "pbx") if name in others), None)
        if lead is not None:
            follows.append(others.pop(lead))
        if lead == "problems":
            follows.append(
                Call.visible.is_(True)
            )  # a column of its index, so that SQLite prefers it to the one of all calls
    return _QueryPlan(
        query.where(Call.visible.is_(True)), at, number, follows, _day_conditions(at, wanted, zone), list(others.values())
    )


def _filter_conditions(wanted: CallFilter) -> dict[str, _Condition]:
    found: dict[str, _Condition] = {}
    digits = phone.digits_only(wanted.q)
    number = phone.normalise(wanted.q) if len(digits) >= FULL_NUMBER_DIGITS else None
    if number:
        found["number"] = Call.client_number == number
    elif wanted.q:
        found["within"] = Call.client_number.contains(digits or wanted.q, autoescape=True)
    if wanted.problems:
        found["problems"] = text(
            f"({PROBLEM_CONDITION})"
        )  # words, since a typed expression gets "= 1" for SQLite and misses the index
    if wanted.line:
        found["line"] = Call.line_number == wanted.line
    if wanted.pbx:
        found["pbx"] = Call.pbx_key == wanted.pbx
    if wanted.direction:
        found["direction"] = Call.direction == wanted.direction
    if wanted.outcome:
        found["outcome"] = Call.outcome == wanted.outcome
    return found


def _day_conditions(at: Any, wanted: CallFilter, zone: str) -> list[ColumnElement[bool]]:
    here, found = ZoneInfo(zone), []
    if wanted.since is not None:
        found.append(at >= datetime.combine(wanted.since, time(), here))
    if wanted.until is not None and wanted.until < date.max:
        found.append(at < datetime.combine(wanted.until + timedelta(days=1), time(), here))
    return found
