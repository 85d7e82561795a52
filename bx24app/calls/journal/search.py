"""Search of the journal: calls that match a filter, the latest first, in pages that stay quick however many calls there
are.

A page reads one index in its order (by employee, client, line, PBX, problem, or all) and at most `SCAN_LIMIT` calls of
it. If too few match, the page says how far it read, and the next page continues from there.
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
"""Calls that one page reads at most."""
DIRECTIONS = ("in", "out", "callback", "internal")
OUTCOMES = ("answered", "missed", "failed")
FULL_NUMBER_DIGITS = 10
"""With this many digits or more, the search is for a full number, by its index; with fewer, for a part of numbers."""
_SEPARATOR = "_"
_Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What the list shows; empty: everything.

    `q`: client number; `line`: LINE_NUMBER; `since`, `until`: days of the portal, both included.
    """

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
    def from_params(cls, params: Mapping[str, str]) -> CallFilter:
        """From a form or an address; invalid values are left out."""
        employee = params.get("employee", "")
        return cls(
            q=params.get("q", "").strip()[:64],
            pbx=params.get("pbx", ""),
            line=params.get("line", ""),
            direction=params.get("direction", "") if params.get("direction") in DIRECTIONS else "",
            outcome=params.get("outcome", "") if params.get("outcome") in OUTCOMES else "",
            employee=int(employee) if re.fullmatch(r"\d{1,9}", employee) else None,
            since=parse_day(params.get("since", "")),
            until=parse_day(params.get("until", "")),
            problems=bool(params.get("problems")),
        )

    def as_params(self) -> dict[str, str]:
        """As parameters of an address; `from_params` gives the same filter back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: "1" if value is True else str(value) for name, value in values.items() if value}

    @property
    def is_empty(self) -> bool:
        """Does the filter let everything through?"""
        return not self.as_params()


def parse_day(text: str) -> date | None:
    """The day of `2026-01-31`; None: no day, or in year 1 or 9999, where another zone may have no such day."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1 < day.year < 9999 else None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the order of the journal; the page below it has only older calls."""

    started_at: datetime
    call_id: int

    @classmethod
    def from_text(cls, text: str) -> Cursor | None:
        """The cursor of an address; None: missing or invalid."""
        at, _, number = text.rpartition(_SEPARATOR)
        try:
            started_at = datetime.fromisoformat(at.replace(" ", "+"))
            # In year 1 or 9999 another zone may have no such moment.
            is_valid = started_at.tzinfo is not None and 1 < started_at.year < 9999 and len(number) < 19
            return cls(started_at, int(number)) if is_valid else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.started_at.isoformat()}{_SEPARATOR}{self.call_id}"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`next_cursor`: where the next page begins; None: there is none.

    `scanned_to`: how far a page read that ended before it was full.
    """

    calls: list[Call]
    next_cursor: Cursor | None = None
    scanned_to: datetime | None = None


def find_calls(
    session: Session,
    portal_id: int,
    wanted: CallFilter,
    zone: str,
    viewer: int | None = None,
    below: Cursor | None = None,
) -> SearchPage:
    """One page. `viewer`: only calls of this employee, whatever the filter says; `zone`: IANA name, for days."""
    plan = _plan_query(portal_id, wanted, zone, viewer)
    bounds = list(plan.time_bounds)
    if below is not None:
        bounds += [plan.cursor_columns < _cursor_values(below), plan.time_column <= below.started_at]
    edge = None
    if plan.row_conditions:
        scanned = select(*plan.order_columns).where(*plan.index_conditions, *bounds).order_by(*plan.latest_first)
        edge = session.execute(scanned.offset(SCAN_LIMIT - 1).limit(1)).first()
    if edge is not None:
        # The time once more by itself: PostgreSQL cannot estimate how selective a pair is, and would read all rows.
        bounds += [plan.cursor_columns >= _cursor_values(Cursor(*edge)), plan.time_column >= edge[0]]
    query = plan.query.where(*plan.index_conditions, *bounds, *plan.row_conditions).order_by(*plan.latest_first)
    calls = list(session.scalars(query.limit(PAGE_SIZE + 1)))
    if len(calls) > PAGE_SIZE:
        last = calls[PAGE_SIZE - 1]
        return SearchPage(calls[:PAGE_SIZE], Cursor(last.started_at, last.id))
    if edge is not None:
        return SearchPage(calls, Cursor(*edge), edge[0])
    return SearchPage(calls)


def filtered_query(portal_id: int, wanted: CallFilter, zone: str, viewer: int | None = None) -> Select[Call]:
    """All matching calls as an unordered query, for exports."""
    plan = _plan_query(portal_id, wanted, zone, viewer)
    return plan.query.where(*plan.index_conditions, *plan.time_bounds, *plan.row_conditions)


@dataclass(frozen=True, slots=True)
class _QueryPlan:
    """`index_conditions`: on the first columns of the index that gives the order; `row_conditions`: checked by call."""

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


def _cursor_values(cursor: Cursor) -> Any:
    return tuple_(literal(cursor.started_at, Moment()), literal(cursor.call_id))


def _plan_query(portal_id: int, wanted: CallFilter, zone: str, viewer: int | None) -> _QueryPlan:
    user_id = viewer if viewer is not None else wanted.employee
    row_conditions = _filter_conditions(wanted)
    index_conditions: list[_Condition]
    if user_id is not None:
        query = select(Call).join(CallPerson, CallPerson.call_id == Call.id)
        index_conditions = [CallPerson.portal_id == portal_id, CallPerson.user_id == user_id]
        at, number = CallPerson.started_at, CallPerson.call_id
    else:
        query, index_conditions, at, number = select(Call), [Call.portal_id == portal_id], Call.started_at, Call.id
        # The narrowest index first; its condition need not be checked call by call.
        lead = next((name for name in ("number", "problems", "line", "pbx") if name in row_conditions), None)
        if lead is not None:
            index_conditions.append(row_conditions.pop(lead))
        if lead == "problems":
            # A column of its index, so that SQLite prefers that index to the one of all calls.
            index_conditions.append(Call.visible.is_(True))
    return _QueryPlan(
        query.where(Call.visible.is_(True)),
        at,
        number,
        index_conditions,
        _day_conditions(at, wanted, zone),
        list(row_conditions.values()),
    )


def _filter_conditions(wanted: CallFilter) -> dict[str, _Condition]:
    conditions: dict[str, _Condition] = {}
    digits = phone.digits_only(wanted.q)
    number = phone.normalise(wanted.q) if len(digits) >= FULL_NUMBER_DIGITS else None
    if number:
        conditions["number"] = Call.client_number == number
    elif wanted.q:
        conditions["within"] = Call.client_number.contains(digits or wanted.q, autoescape=True)
    if wanted.problems:
        # As text: SQLAlchemy would add "= 1" to an expression for SQLite, which then misses the index.
        conditions["problems"] = text(f"({PROBLEM_CONDITION})")
    if wanted.line:
        conditions["line"] = Call.line_number == wanted.line
    if wanted.pbx:
        conditions["pbx"] = Call.pbx_key == wanted.pbx
    if wanted.direction:
        conditions["direction"] = Call.direction == wanted.direction
    if wanted.outcome:
        conditions["outcome"] = Call.outcome == wanted.outcome
    return conditions


def _day_conditions(at: Any, wanted: CallFilter, zone: str) -> list[ColumnElement[bool]]:
    zone_info, conditions = ZoneInfo(zone), []
    if wanted.since is not None:
        conditions.append(at >= datetime.combine(wanted.since, time(), zone_info))
    if wanted.until is not None and wanted.until < date.max:
        conditions.append(at < datetime.combine(wanted.until + timedelta(days=1), time(), zone_info))
    return conditions
