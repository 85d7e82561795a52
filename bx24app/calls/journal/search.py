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
from bx24app.models.calls import PROBLEM

PAGE = 50
WINDOW = 20_000
"""Calls that one page looks at most."""
DIRECTIONS = ("in", "out", "callback", "internal")
OUTCOMES = ("answered", "missed", "failed")
WHOLE_NUMBER = 10
"""Digits from which a number that is looked for is a whole one, found by its index; fewer are looked for within numbers."""
_SEPARATOR = "_"
_Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, slots=True)
class Filter:
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
    def read(cls, asked: Mapping[str, str]) -> Filter:
        """From a form or an address; what means nothing is left out."""
        employee = asked.get("employee", "")
        return cls(
            q=asked.get("q", "").strip()[:64],
            pbx=asked.get("pbx", ""),
            line=asked.get("line", ""),
            direction=asked.get("direction", "") if asked.get("direction") in DIRECTIONS else "",
            outcome=asked.get("outcome", "") if asked.get("outcome") in OUTCOMES else "",
            employee=int(employee) if re.fullmatch(r"\d{1,9}", employee) else None,
            since=day(asked.get("since", "")),
            until=day(asked.get("until", "")),
            problems=bool(asked.get("problems")),
        )

    def asked(self) -> dict[str, str]:
        """As parameters of an address; `read` gives the same filter back."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: "1" if value is True else str(value) for name, value in values.items() if value}

    @property
    def empty(self) -> bool:
        """Does it let everything through?"""
        return not self.asked()


def day(text: str) -> date | None:
    """The day of `2026-01-31`; None: none, or at the ends of time, where another zone has no such day."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1 < found.year < 9999 else None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of the journal: the page below it holds only older calls."""

    at: datetime
    id: int

    @classmethod
    def read(cls, text: str) -> Place | None:
        """None: no place, or none of ours."""
        at, _, number = text.rpartition(_SEPARATOR)
        try:
            found = datetime.fromisoformat(at.replace(" ", "+"))
            there = found.tzinfo is not None and 1 < found.year < 9999  # at the ends of time another zone has no such moment
            return cls(found, int(number)) if there and len(number) < 19 else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.at.isoformat()}{_SEPARATOR}{self.id}"


@dataclass(frozen=True, slots=True)
class Found:
    """`below`: where the next page begins, None: there is none. `looked`: the page ended before it was full, having looked so far."""

    calls: list[Call]
    below: Place | None = None
    looked: datetime | None = None


def find(
    session: Session, portal_id: int, wanted: Filter, zone: str, viewer: int | None = None, below: Place | None = None
) -> Found:
    """One page. `viewer`: only calls of this employee, whatever the filter asks for; `zone`: IANA name, for days."""
    plan = _plan(portal_id, wanted, zone, viewer)
    bounds = list(plan.bounds)
    if below is not None:
        bounds += [plan.place < _pair(below), plan.at <= below.at]
    edge = None
    if plan.others:
        edge = session.execute(
            select(*plan.order).where(*plan.follows, *bounds).order_by(*plan.latest).offset(WINDOW - 1).limit(1)
        ).first()
    if edge is not None:
        # The moments once more: PostgreSQL cannot estimate how much a pair leaves, and would read the whole table.
        bounds += [plan.place >= _pair(Place(*edge)), plan.at >= edge[0]]
    query = plan.query.where(*plan.follows, *bounds, *plan.others).order_by(*plan.latest).limit(PAGE + 1)
    calls = list(session.scalars(query))
    if len(calls) > PAGE:
        last = calls[PAGE - 1]
        return Found(calls[:PAGE], Place(last.started_at, last.id))
    if edge is not None:
        return Found(calls, Place(*edge), edge[0])
    return Found(calls)


def narrowed(portal_id: int, wanted: Filter, zone: str, viewer: int | None = None) -> Select[Call]:
    """All of them as a query without an order, for exports."""
    plan = _plan(portal_id, wanted, zone, viewer)
    return plan.query.where(*plan.follows, *plan.bounds, *plan.others)


@dataclass(frozen=True, slots=True)
class _Plan:
    """`follows`: the beginning of the index that gives the order; `others`: what is looked at call by call."""

    query: Select[Call]
    at: Any
    id: Any
    follows: list[_Condition]
    bounds: list[ColumnElement[bool]]
    others: list[_Condition]

    @property
    def order(self) -> tuple[Any, Any]:
        return self.at, self.id

    @property
    def latest(self) -> tuple[Any, Any]:
        return self.at.desc(), self.id.desc()

    @property
    def place(self) -> Any:
        return tuple_(self.at, self.id)


def _pair(place: Place) -> Any:
    return tuple_(literal(place.at, Moment()), literal(place.id))


def _plan(portal_id: int, wanted: Filter, zone: str, viewer: int | None) -> _Plan:
    person = viewer if viewer is not None else wanted.employee
    others = _conditions(wanted)
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
    return _Plan(
        query.where(Call.visible.is_(True)), at, number, follows, _days(at, wanted, zone), list(others.values())
    )


def _conditions(wanted: Filter) -> dict[str, _Condition]:
    found: dict[str, _Condition] = {}
    digits = phone.digits(wanted.q)
    number = phone.normal(wanted.q) if len(digits) >= WHOLE_NUMBER else None
    if number:
        found["number"] = Call.client_number == number
    elif wanted.q:
        found["within"] = Call.client_number.contains(digits or wanted.q, autoescape=True)
    if wanted.problems:
        found["problems"] = text(
            f"({PROBLEM})"
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


def _days(at: Any, wanted: Filter, zone: str) -> list[ColumnElement[bool]]:
    here, found = ZoneInfo(zone), []
    if wanted.since is not None:
        found.append(at >= datetime.combine(wanted.since, time(), here))
    if wanted.until is not None and wanted.until < date.max:
        found.append(at < datetime.combine(wanted.until + timedelta(days=1), time(), here))
    return found
